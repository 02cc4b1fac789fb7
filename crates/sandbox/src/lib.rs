//! Every child process and every workspace file.
