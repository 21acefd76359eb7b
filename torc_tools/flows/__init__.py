"""Where core meets shell: steps that several commands share."""
