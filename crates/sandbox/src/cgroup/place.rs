//! Where groups can be made: found once, by trying. Groups that an earlier, dead run of this program left behind are
//! removed on the way.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread::sleep,
    time::Duration,
};

use super::kill;

/// The directories in which groups are made.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// The one tree of version 2.
    V2(PathBuf),
    /// The trees of version 1.
    V1 {
        /// Of memory.
        memory: PathBuf,
        /// Of numbers of processes.
        pids: PathBuf,
        /// Of processor time, if it can be used.
        cpu: Option<PathBuf>,
    },
    /// None can be used.
    None,
}

/// What group names begin with.
const PREFIX: &str = "factotum";

/// The place for groups, found at the first call.
pub(super) fn find() -> Place {
    static FOUND: OnceLock<Place> = OnceLock::new();
    let search_and_clean = || {
        let place = search();
        clean_at(&place);
        place
    };
    FOUND.get_or_init(search_and_clean).clone()
}

/// Removes what dead runs left behind.
pub(super) fn clean_all() {
    clean_at(&find());
}

fn clean_at(place: &Place) {
    let places = match place {
        Place::V2(place) => [Some(place), None, None],
        Place::V1 { memory, pids, cpu } => [Some(memory), Some(pids), cpu.as_ref()],
        Place::None => [None, None, None],
    };
    places.into_iter().flatten().for_each(|place| clean(place));
}

fn search() -> Place {
    let (Ok(mounts), Ok(own)) = (fs::read_to_string("/proc/self/mountinfo"), fs::read_to_string("/proc/self/cgroup"))
    else {
        return Place::None;
    };
    if let Some(place) = directory(&mounts, &own, None).and_then(|own| prepare_v2(&own)) {
        return Place::V2(place);
    }
    let of = |controller: &str| directory(&mounts, &own, Some(controller)).filter(|place| can_make(place));
    match (of("memory"), of("pids")) {
        (Some(memory), Some(pids)) => {
            let cpu = of("cpu");
            Place::V1 { memory, pids, cpu }
        }
        _ => Place::None,
    }
}

/// The directory of this process's group: of a controller of version 1, or of version 2.
fn directory(mounts: &str, own: &str, controller: Option<&str>) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_it = match controller {
            None => controllers.is_empty(),
            Some(controller) => controllers.split(',').any(|name| name == controller),
        };
        (is_it && !path.contains("/..")).then_some(path)
    })?;
    let (root, mounted) = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let fields: Vec<&str> = before.split(' ').collect();
        let mut of_type = after.split(' ');
        let (kind, options) = (of_type.next()?, of_type.nth(1)?);
        let is_it = match controller {
            None => kind == "cgroup2",
            Some(controller) => kind == "cgroup" && options.split(',').any(|name| name == controller),
        };
        is_it.then_some((*fields.get(3)?, *fields.get(4)?))
    })?;
    let beneath = Path::new(path).strip_prefix(root).ok()?;
    Some(Path::new(mounted).join(beneath))
}

/// A group of version 2 whose children get the controllers: our own, or its parent.
fn prepare_v2(own: &Path) -> Option<PathBuf> {
    let parent = own.parent().filter(|parent| parent.join("cgroup.controllers").exists());
    [Some(own), parent].into_iter().flatten().find(|place| hand_down(place, own) && can_make(place)).map(Path::to_owned)
}

/// Whether children of a group get the controllers, after trying to make it so.
fn hand_down(place: &Path, own: &Path) -> bool {
    let has = |file: &str| {
        let text = fs::read_to_string(place.join(file)).unwrap_or_default();
        ["memory", "pids"].iter().all(|wanted| text.split_whitespace().any(|name| name == *wanted))
    };
    if !has("cgroup.controllers") {
        return false;
    }
    let enable = || {
        // Processor time is welcome, but not needed.
        _ = fs::write(place.join("cgroup.subtree_control"), "+cpu");
        fs::write(place.join("cgroup.subtree_control"), "+memory +pids")
    };
    if has("cgroup.subtree_control") || enable().is_ok() {
        return true;
    }
    // A group with processes of its own hands nothing down. When this one is alone there, it can step aside.
    place == own && is_alone(place) && step_aside(place).is_ok() && enable().is_ok()
}

fn is_alone(place: &Path) -> bool {
    let members = fs::read_to_string(place.join("cgroup.procs")).unwrap_or_default();
    members.trim() == std::process::id().to_string()
}

fn step_aside(place: &Path) -> io::Result<()> {
    let leaf = place.join("factotum.daemon");
    match fs::create_dir(&leaf) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    fs::write(leaf.join("cgroup.procs"), "0")
}

/// Whether groups can be made and their members set.
fn can_make(place: &Path) -> bool {
    // Programs of several process namespaces, in each of which one has the same id, may try at once.
    let probe = place.join(format!("{PREFIX}.{}.{}", process_space(), std::process::id()));
    let made = match fs::create_dir(&probe) {
        Ok(()) => true,
        // Left behind by a dead process that had this one's id.
        Err(error) => error.kind() == io::ErrorKind::AlreadyExists,
    };
    let usable = made && fs::File::options().write(true).open(probe.join("cgroup.procs")).is_ok();
    if made {
        // An empty group can always be removed.
        _ = fs::remove_dir(&probe);
    }
    usable
}

/// The name of the sandbox's group with this number: whose it is can be told from it.
pub(super) fn name(number: u64) -> String {
    let (space, start) = (process_space(), start_time("self").unwrap_or(0));
    format!("{PREFIX}-{space}-{}-{start}-{number}", std::process::id())
}

/// Which process namespace this is: ids of another one mean nothing here.
fn process_space() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino())
}

/// When a process was started, in the kernel's own ticks. `NotFound` when there is no such process.
fn start_time(process: &str) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let field = text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok());
    field.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Whether reading about a process failed because there is none, or because it ended meanwhile.
fn is_no_process(error: &io::Error) -> bool {
    [Some(libc::ENOENT), Some(libc::ESRCH)].contains(&error.raw_os_error())
}

/// Whether a group's name says that it belongs to a run of this program that is over.
fn is_stale(name: &str) -> bool {
    let mut parts = name.split('-');
    if parts.next() != Some(PREFIX) {
        return false;
    }
    let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
    let (Some(space), Some(pid), Some(start)) = (number(), number(), number()) else { return false };
    space == process_space()
        && match start_time(&pid.to_string()) {
            Ok(found) => found != start,
            // Who cannot be looked at may live.
            Err(error) => is_no_process(&error),
        }
}

/// Removes what dead runs left behind.
fn clean(place: &Path) {
    let stale = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_stale);
    for group in kill::below(place).into_iter().filter(stale) {
        for _ in 0..20 {
            kill::members(&group);
            for inner in kill::below(&group) {
                // It may not be empty yet.
                _ = fs::remove_dir(inner);
            }
            if fs::remove_dir(&group).is_ok() {
                break;
            }
            sleep(Duration::from_millis(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
25 1 0:22 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
26 1 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
27 1 0:24 /box /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
28 1 0:25 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const OWN: &str = "8:pids:/box/inner\n4:memory:/a/b\n2:cpu,cpuacct:/\n0::/user.slice\n";

    #[track_caller]
    fn check(controller: Option<&str>, expected: Option<&str>) {
        assert_eq!(directory(MOUNTS, OWN, controller), expected.map(PathBuf::from));
    }

    #[test]
    fn directories_are_found_by_controller() {
        check(None, Some("/sys/fs/cgroup/unified/user.slice"));
        check(Some("memory"), Some("/sys/fs/cgroup/memory/a/b"));
        check(Some("cpu"), Some("/sys/fs/cgroup/cpu,cpuacct/"));
        check(Some("pids"), Some("/sys/fs/cgroup/pids/inner"));
        check(Some("hugetlb"), None);
        assert_eq!(directory(MOUNTS, "0::/../outside\n", None), None);
    }

    /// Two programs that try at once, in namespaces where both have the same id, must both find the place.
    #[test]
    fn a_group_that_is_there_already_does_not_hide_the_place() -> io::Result<()> {
        let place = tempfile::tempdir()?;
        let id = std::process::id();
        for other in [format!("factotum.{id}"), format!("factotum.{}.{id}", process_space())] {
            let other = place.path().join(other);
            fs::create_dir(&other)?;
            fs::write(other.join("cgroup.procs"), "")?;
        }
        // A file stands for the kernel's own.
        assert!(can_make(place.path()));
        Ok(())
    }

    #[test]
    fn only_groups_of_dead_runs_are_stale() {
        assert!(!is_stale(&name(0)));
        let (space, pid) = (process_space(), std::process::id());
        assert!(is_stale(&format!("factotum-{space}-{pid}-1-0")));
        assert!(is_stale(&format!("factotum-{space}-4194305-1-0")));
        assert!(!is_stale(&format!("factotum-{}-{pid}-1-0", space + 1)));
        for other in ["factotum.daemon", "factotum-x", "init.scope", "factotum-1-2"] {
            assert!(!is_stale(other), "{other}");
        }
    }
}
