package runtime

// RaceEnabled tells the tests outside of the package whether the race detector is on.
const RaceEnabled = raceEnabled
