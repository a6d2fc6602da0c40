"""Which sources there are, in the order in which they are asked. Modules load when they are first used."""
