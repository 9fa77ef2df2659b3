//! Models of what Ouzel's threads share, explored schedule by schedule.
//!
//! There is nothing here: each model is a test.
