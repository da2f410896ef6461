//! The body of an answer as it passes the module: its edit, or its early end.

use std::mem;

use bytes::Bytes;
use pingora::Error;

use super::{Stage, Tracking, breakage::Breakage, edit::Flow};

impl Tracking {
    pub(super) fn write(&mut self, body: &mut Option<Bytes>, ends: bool) -> Result<(), Box<Error>> {
        let Stage::Editing(edit) = &mut self.stage else {
            return self.go_on_broken(body);
        };
        let flow = edit.write(body, ends);
        self.go_on(flow, ends)
    }

    pub(super) fn finish_late(&mut self) -> Result<Option<Bytes>, Box<Error>> {
        let mut body = None;
        if let Stage::Editing(edit) = &mut self.stage {
            let flow = edit.finish_late(&mut body);
            self.go_on(flow, true)?;
        } else {
            self.go_on_broken(&mut body)?;
        }
        Ok(body)
    }

    pub(super) fn take_breakage(&mut self) -> Option<Breakage> {
        if !matches!(self.stage, Stage::Broken(_)) {
            return None;
        }
        match mem::replace(&mut self.stage, Stage::Inert) {
            Stage::Broken(breakage) => Some(*breakage),
            Stage::Inert | Stage::Armed(..) | Stage::Visiting(..) | Stage::Editing(_) | Stage::Over => None,
        }
    }

    fn go_on(&mut self, flow: Flow, ends: bool) -> Result<(), Box<Error>> {
        match flow {
            Flow::On if !ends => {}
            Flow::On | Flow::Unedited => self.stage = Stage::Inert,
            Flow::Over => self.stage = Stage::Over,
            Flow::Broken(breakage) => {
                // What could be decoded leaves first. At the end there is no later.
                let error = ends.then(|| breakage.error());
                self.stage = Stage::Broken(Box::new(breakage));
                return error.map_or(Ok(()), Err);
            }
        }
        Ok(())
    }

    /// Ends a broken page; anything else passes as it is.
    fn go_on_broken(&self, body: &mut Option<Bytes>) -> Result<(), Box<Error>> {
        match &self.stage {
            Stage::Over => *body = None,
            Stage::Broken(breakage) => {
                *body = None;
                return Err(breakage.error());
            }
            Stage::Inert | Stage::Armed(..) | Stage::Visiting(..) | Stage::Editing(_) => {}
        }
        Ok(())
    }
}
