//! Every text that is kept, for a search that must miss none: whatever tables there are.

use rusqlite::{Connection, types::ValueRef};

use crate::{Store, error::StoreError};

impl Store {
    /// Shows each text of the database, with the name of its table and column. The search index is left out: it repeats
    /// the messages. Takes time in proportion to the database.
    pub fn every_text(&self, visit: &mut dyn FnMut(&str, &str)) -> Result<(), StoreError> {
        self.read(|connection| {
            for table in tables(connection)? {
                // The name is the schema's own; quoted, so that no name can be more than one.
                let mut statement = connection.prepare(&format!("SELECT * FROM \"{}\"", table.replace('"', "\"\"")))?;
                let columns: Vec<String> =
                    statement.column_names().into_iter().map(|column| format!("{table}.{column}")).collect();
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    for (index, column) in columns.iter().enumerate() {
                        match row.get_ref(index)? {
                            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                                visit(column, &String::from_utf8_lossy(bytes));
                            }
                            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => {}
                        }
                    }
                }
            }
            Ok(())
        })
    }
}

fn tables(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
               AND name NOT LIKE 'message\\_index%' ESCAPE '\\' ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    Ok(names)
}
