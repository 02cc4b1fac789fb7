//! The scripts by which git makes, looks at and compares trees. Whatever comes from outside stands in variables. They run in a
//! sandbox of their own, with the settings of `jobs::git`.

/// Tells what is true of the repository at `$AT`, in lines of `key value`, and which commits `$BRANCH` and `$BASE` mean.
pub(super) const LOOK: &str = concat!(
    r#"
TOP="$AT"
if ! [ -e "$AT/.git" ]; then echo "kind none"; exit 0; fi
top=$(git -C "$AT" rev-parse --show-toplevel) || { echo "kind elsewhere"; exit 0; }
if [ "$top" != "$AT" ]; then echo "kind elsewhere"; exit 0; fi
g() { git -C "$AT" "$@"; }
echo "kind repository"
commit() { g rev-parse -q --verify --end-of-options "$1^{commit}" || :; }
echo "head $(commit HEAD)"
echo "current $(g symbolic-ref -q --short HEAD || :)"
echo "format $(g rev-parse --show-object-format)"
echo "shallow $(g rev-parse --is-shallow-repository)"
echo "origin $(g config --get remote.origin.url | head -n 1 || :)"
echo "kib $(g count-objects -v | awk '/^size(-pack)?:/ { sum += $2 } END { print sum + 0 }')"
if [ -n "$BRANCH" ]; then
  echo "local $(commit "refs/heads/$BRANCH")"
  echo "remote $(commit "refs/remotes/origin/$BRANCH")"
fi
if [ -n "$BASE" ]; then
  for name in "refs/heads/$BASE" "refs/remotes/origin/$BASE" "refs/tags/$BASE" "$BASE"; do
    found=$(commit "$name")
    if [ -n "$found" ]; then echo "base $found"; break; fi
  done
fi
if [ -n "$(commit HEAD)" ]; then
  echo "submodules $(g ls-tree -r -z HEAD | tr '\0' '\n' | grep -c '^160000 ' || :)"
  if g grep -q 'filter=lfs' HEAD -- '*.gitattributes' '.gitattributes' 2>/dev/null; then echo "lfs 1"; fi
fi
"#,
    crate::jobs::tree::own_git!(),
    r#"
if [ -z "$head" ]; then exit 0; fi
cp "$(place index)" /tmp/own.index 2>/dev/null || git read-tree "$head"
git update-index -q --refresh > /dev/null || :
echo "dirty $({ git diff-index --name-only -z --ignore-submodules "$head"; git ls-files -o --exclude-standard -z; } | tr -dc '\0' | wc -c)"
"#
);

/// Fills the empty workspace with a clone of `/source` that stands on `$BRANCH` at `$START`. Objects are copied through git's own
/// protocol, so that none is a second name of one in the workspace.
pub(super) const CLONE: &str = r#"
git init -q --template= --object-format="$FORMAT" .
git symbolic-ref HEAD refs/heads/factotum-unborn
git fetch -q --no-write-fetch-head --update-shallow --no-tags /source \
  '+refs/heads/*:refs/heads/*' '+refs/remotes/origin/*:refs/remotes/origin/*' '+refs/tags/*:refs/tags/*' "+$START:refs/factotum/base"
git update-ref "refs/heads/$BRANCH" "$START"
git symbolic-ref HEAD "refs/heads/$BRANCH"
git reset -q --hard
git config user.name "$AUTHOR_NAME"
git config user.email "$AUTHOR_EMAIL"
if [ -n "$ORIGIN" ]; then
  git config remote.origin.url "$ORIGIN"
  git config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*'
  if [ -n "$TRACKS" ]; then
    git config "branch.$BRANCH.remote" origin
    git config "branch.$BRANCH.merge" "refs/heads/$BRANCH"
  fi
fi
exclude=$(git -C /source rev-parse --git-path info/exclude)
case "$exclude" in /*) ;; *) exclude="/source/$exclude" ;; esac
if [ -f "$exclude" ] && [ ! -L "$exclude" ] && [ "$(wc -c < "$exclude")" -le 65536 ]; then
  mkdir -p .git/info
  cat "$exclude" > .git/info/exclude
fi
git cat-file -e "HEAD^{commit}"
"#;

/// Removes everything in the workspace.
pub(super) const EMPTY: &str = r"
chmod u+rwx .
find . -mindepth 1 -type d ! -perm -u=rwx -exec chmod u+rwx {} + 2>/dev/null || :
chmod -R u+rwX . 2>/dev/null || :
find . -mindepth 1 -maxdepth 1 -exec rm -rf -- {} +
";

/// The files of `/source` as they are, as a tree that is written to a place that is thrown away, compared with `$BASE`.
macro_rules! compared {
    ($how:literal) => {
        concat!("TOP=/source", crate::jobs::tree::own_git!(), crate::jobs::tree::all_files!(), $how)
    };
}

/// Compares by numbers.
pub(super) const NUMSTAT: &str =
    compared!(r#"git diff-tree -r -z --no-renames --no-ext-diff --no-textconv --numstat "$BASE" "$now""#);

/// Compares by lines.
pub(super) const PATCH: &str =
    compared!(r#"git diff-tree -r -p --no-color --no-ext-diff --no-textconv "$BASE" "$now" | head -c "$MOST""#);
