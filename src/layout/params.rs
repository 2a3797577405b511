//! The force parameters that a user may change, in d3-force's vocabulary, with their safe ranges.
//!
//! [`ForceSettings`] is plain data as it comes from outside; [`ForceParams`] can only be made from settings
//! that passed the checks, so the force code need not check anything.

use serde::{Deserialize, Serialize};

/// Force parameters as a user gives them; [`ForceParams::new`] checks them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForceSettings {
    /// Push between each two agents; negative repels. Layout units² per tick², falls with 1 / distance.
    pub many_body_strength: f32,
    /// Rest length of a link, layout units.
    pub link_distance: f32,
    /// How hard links pull, 0–1; a link's weight raises its own share.
    pub link_strength: f32,
    /// Pull towards the origin per layout unit of distance.
    pub gravity: f32,
    /// Radius that an agent keeps free, layout units; two agents at rest are two radii apart.
    pub collide_radius: f32,
    /// How hard the topology's own shape (ring, levels) holds, 0–1. 0 lets links alone decide.
    pub shape_strength: f32,
    /// Share of heat lost per tick; d3's 0.0228 cools from 1 to 0.001 in 300 ticks.
    pub alpha_decay: f32,
    /// Share of speed lost per tick.
    pub velocity_decay: f32,
}

impl Default for ForceSettings {
    fn default() -> Self {
        Self {
            many_body_strength: -80.0,
            link_distance: 30.0,
            link_strength: 1.0,
            gravity: 0.01,
            collide_radius: 5.0,
            shape_strength: 0.4,
            alpha_decay: 0.0228,
            velocity_decay: 0.3,
        }
    }
}

/// The safe range of one field of [`ForceSettings`], both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamRange {
    /// The field's name, as in JSON.
    pub field: &'static str,
    /// Smallest value allowed.
    pub min: f32,
    /// Largest value allowed.
    pub max: f32,
}

const fn range(field: &'static str, min: f32, max: f32) -> ParamRange {
    ParamRange { field, min, max }
}

/// Safe ranges in the order of [`ForceSettings`]' fields: within them every layout settles.
pub const RANGES: [ParamRange; 8] = [
    range("many_body_strength", -1000.0, 0.0),
    range("link_distance", 1.0, 500.0),
    range("link_strength", 0.0, 1.0),
    range("gravity", 0.001, 0.5),
    range("collide_radius", 0.0, 100.0),
    range("shape_strength", 0.0, 1.0),
    range("alpha_decay", 0.002, 0.5),
    range("velocity_decay", 0.1, 0.95),
];

/// A force parameter outside its safe range.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("force parameter {field} is {value}, allowed are {min} to {max}")]
pub struct ParamError {
    /// The field's name, as in JSON.
    pub field: &'static str,
    /// What was given; may be NaN.
    pub value: f32,
    /// Smallest value allowed.
    pub min: f32,
    /// Largest value allowed.
    pub max: f32,
}

/// Force parameters that are known to be finite and inside [`RANGES`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ForceParams(ForceSettings);

impl ForceParams {
    /// Accepts settings that lie in [`RANGES`].
    ///
    /// # Errors
    /// [`ParamError`] names the first field that is out of range or not a number.
    pub fn new(settings: ForceSettings) -> Result<Self, ParamError> {
        let values = [
            settings.many_body_strength,
            settings.link_distance,
            settings.link_strength,
            settings.gravity,
            settings.collide_radius,
            settings.shape_strength,
            settings.alpha_decay,
            settings.velocity_decay,
        ];
        for (value, ParamRange { field, min, max }) in values.into_iter().zip(RANGES) {
            if !(min..=max).contains(&value) {
                return Err(ParamError { field, value, min, max });
            }
        }
        Ok(Self(settings))
    }

    /// The checked settings.
    #[must_use]
    pub const fn settings(&self) -> &ForceSettings {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range() {
        assert_eq!(ForceParams::new(ForceSettings::default()), Ok(ForceParams::default()));
    }

    #[test]
    fn each_field_is_checked_and_named() {
        let json = serde_json::to_value(ForceSettings::default()).unwrap();
        for ParamRange { field, min, max } in RANGES {
            for value in [min - 0.01, max + 0.01, -1e9, 1e9] {
                let mut changed = json.clone();
                changed[field] = value.into();
                let settings: ForceSettings = serde_json::from_value(changed).unwrap();
                let error = ForceParams::new(settings).unwrap_err();
                assert_eq!(
                    (error.field, error.min.to_bits(), error.max.to_bits()),
                    (field, min.to_bits(), max.to_bits())
                );
                assert!(error.to_string().contains(field), "{error}");
            }
            for value in [min, max] {
                let mut changed = json.clone();
                changed[field] = value.into();
                assert!(
                    ForceParams::new(serde_json::from_value(changed).unwrap()).is_ok(),
                    "{field} {value}"
                );
            }
        }
        assert_eq!(json.as_object().unwrap().len(), RANGES.len(), "every field has a range");
    }

    #[test]
    fn nan_and_infinity_are_refused() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error =
                ForceParams::new(ForceSettings { gravity: value, ..ForceSettings::default() }).unwrap_err();
            assert_eq!(error.field, "gravity");
        }
    }
}
