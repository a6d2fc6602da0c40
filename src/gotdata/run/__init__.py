"""Data for one command and its children, where nobody has mounted anything: the ways, best first."""
