"""`--replay`: the server answers what a recording says, instead of playing a world."""
