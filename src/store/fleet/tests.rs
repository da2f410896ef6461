//! The shared store on a real database.
