"""One file an experiment: settings -> result -> figure. Nothing in the library imports these."""
