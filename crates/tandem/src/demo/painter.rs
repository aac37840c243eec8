//! Draws the picture again and again, while the show goes on.

use super::client;
use super::picture::Screen;
use super::status::Watch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// From one picture to the next.
const PERIOD: Duration = Duration::from_millis(200);

/// The thread that draws.
pub struct Painter {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Painter {
    /// Starts; without a terminal there is nothing to draw.
    pub fn start(screen: Screen, watch: Watch, client: client::Shared) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let paint = move || {
            while !seen.load(Ordering::Relaxed) {
                screen.show(watch.sights(), client.journal().sight());
                thread::sleep(PERIOD);
            }
        };
        Self {
            ended,
            thread: Some(thread::spawn(paint)),
        }
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A picture that could not be drawn is no reason to fail.
            let _ = thread.join();
        }
    }
}
