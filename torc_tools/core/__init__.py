"""Pure decisions: records in, records out; no clock, no file, no process."""
