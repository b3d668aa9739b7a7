// Placeholder of the skeleton; replaced by the room's files.
