//! What stands over the path of a volume.
