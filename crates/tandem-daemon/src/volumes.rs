//! What stands in the volumes before the first start: how much, and when it last changed. Then a
//! person decides whose data counts, and has nothing else to go by. It is shown to people and decides
//! nothing; after the first start nobody looks any more.

use crate::config::{Configuration, Module, Place};
use crate::hub::Hub;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_wire::api::VolumeStatus;
use tokio::time::sleep;

/// How often is looked whether the first start is still to come.
const LOOK: Duration = Duration::from_secs(2);
/// How old a measurement may be: it reads every directory, and hardly anything changes meanwhile.
const MEASURE_AGAIN: Duration = Duration::from_secs(300);
/// How long one volume may take. What was found by then is shown as a least.
const MEASURE_MAX: Duration = Duration::from_secs(30);
/// What the mirror keeps in a volume; not the application's.
const OWN: &str = ".tandem";

/// Looks, for ever.
pub(crate) async fn watch(configuration: Arc<Configuration>, hub: Hub) {
    let mut measured: Vec<Option<Instant>> = vec![None; configuration.modules.len()];
    loop {
        for (place, module) in configuration.places() {
            look(&hub, place, module, &mut measured[place.0]).await;
        }
        sleep(LOOK).await;
    }
}

async fn look(hub: &Hub, place: Place, module: &Module, measured: &mut Option<Instant>) {
    if !hub.before_first_start(place) {
        if measured.take().is_some() {
            hub.of(place).volumes(Vec::new());
        }
        return;
    }
    if measured.is_some_and(|at| at.elapsed() < MEASURE_AGAIN) {
        return;
    }
    let volumes: Vec<_> = (module.volumes.iter())
        .map(|volume| (volume.name.clone(), volume.path.clone()))
        .collect();
    let found = tokio::task::spawn_blocking(move || {
        let volumes = volumes.iter();
        volumes
            .map(|(name, path)| measure(name, path, MEASURE_MAX))
            .collect()
    });
    *measured = Some(Instant::now());
    if let Ok(found) = found.await {
        hub.of(place).volumes(found);
    }
}

/// What a tree holds. Links are not followed and other file systems not entered.
fn measure(name: &str, path: &Path, limit: Duration) -> VolumeStatus {
    let end = Instant::now() + limit;
    let mut found = VolumeStatus {
        name: name.to_owned(),
        whole: true,
        ..VolumeStatus::default()
    };
    let Ok(top) = fs::metadata(path) else {
        found.whole = false;
        return found;
    };
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            found.whole = false;
            continue;
        };
        for entry in entries.flatten() {
            if Instant::now() > end {
                found.whole = false;
                return found;
            }
            let Ok(about) = entry.metadata() else {
                // Gone meanwhile.
                continue;
            };
            if directory == path && entry.file_name() == OWN {
                continue;
            }
            if about.is_dir() && about.dev() == top.dev() {
                directories.push(entry.path());
                continue;
            }
            found.files += 1;
            if about.is_file() {
                found.bytes += about.len();
            }
            let changed = about.mtime().saturating_mul(1000) + about.mtime_nsec() / 1_000_000;
            let changed = u64::try_from(changed).unwrap_or(0);
            if found.newest_ms.is_none_or(|newest| newest < changed) {
                found.newest_ms = Some(changed);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn size_and_newest_change_are_those_of_the_applications_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        fs::create_dir_all(root.join("a/b")).expect("a directory");
        fs::create_dir_all(root.join(OWN)).expect("a directory");
        fs::write(root.join(OWN).join("position"), vec![0; 1000]).expect("a file");
        let times = [("a/one", 5, 1_000_000), ("a/b/two", 7, 2_000_000)];
        for (name, bytes, at) in times {
            let file = fs::File::create(root.join(name)).expect("a file");
            std::io::Write::write_all(&mut &file, &vec![1; bytes]).expect("it writes");
            let at: SystemTime = UNIX_EPOCH + Duration::from_secs(at);
            file.set_modified(at).expect("a time");
        }
        let found = measure("db", root, MEASURE_MAX);
        assert_eq!((found.files, found.bytes, found.whole), (2, 12, true));
        assert_eq!(found.newest_ms, Some(2_000_000_000));
        // A link is not followed; it is an entry whose own time counts.
        std::os::unix::fs::symlink("/etc", root.join("link")).expect("a link");
        let found = measure("db", root, MEASURE_MAX);
        assert_eq!((found.files, found.bytes), (3, 12));
    }

    #[test]
    fn what_cannot_be_read_or_takes_too_long_is_not_called_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(!measure("db", &directory.path().join("missing"), MEASURE_MAX).whole);
        fs::write(directory.path().join("one"), "1").expect("a file");
        assert!(!measure("db", directory.path(), Duration::ZERO).whole);
    }
}
