//! The presets as the page offers them: what each asks, with the answers of who has none.

use crate::setup::{Answers, Preset, PresetError};
use serde::Serialize;
use std::path::Path;

/// One preset.
#[derive(Clone, Serialize)]
pub(super) struct ShownPreset {
    pub name: String,
    description: String,
    /// Why it cannot be used here.
    refused: Option<String>,
    questions: Vec<ShownQuestion>,
}

#[derive(Clone, Serialize)]
pub(super) struct ShownQuestion {
    name: String,
    text: String,
    default: Option<String>,
}

/// All presets, with what they ask.
pub(super) fn shown(directory: &Path) -> Vec<ShownPreset> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut presets: Vec<ShownPreset> = entries
        .flatten()
        .filter_map(|entry| shown_preset(&entry.path()))
        .collect();
    presets.sort_by(|a, b| a.name.cmp(&b.name));
    presets
}

fn shown_preset(path: &Path) -> Option<ShownPreset> {
    let name = path.file_stem()?.to_str()?.to_owned();
    let preset = match Preset::read(path.to_str()?) {
        Ok(preset) => preset,
        Err(PresetError::Refused(reason)) => {
            return Some(ShownPreset {
                description: name.clone(),
                name,
                refused: Some(reason),
                questions: Vec::new(),
            });
        }
        Err(_) => return None,
    };
    let mut answers = Answers::new();
    let questions = preset.questions.iter().map(|question| {
        let default = Preset::default_answer(question, &answers);
        if let Some(default) = &default {
            answers.insert(question.name.clone(), default.clone());
        }
        ShownQuestion {
            name: question.name.clone(),
            text: question.text.clone(),
            default,
        }
    });
    let questions = questions.collect();
    Some(ShownPreset {
        name,
        description: preset.description,
        refused: None,
        questions,
    })
}
