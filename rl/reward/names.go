package reward

// MetricMean returns the name of the mean reward of the function called fn. The
// documentation of package rl has a table of all metrics.
func MetricMean(fn string) string { return "rewards/" + fn + "/mean" }

// MetricStd returns the name of the standard deviation of the rewards of the function
// called fn.
func MetricStd(fn string) string { return "rewards/" + fn + "/std" }

// MetricStatus returns the name of the number of verdicts with the given status of the
// function called fn.
func MetricStatus(fn string, status Status) string { return "rewards/" + fn + "/" + status.String() }
