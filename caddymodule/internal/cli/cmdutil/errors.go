package cmdutil

import "errors"

var (
	// ErrCheckFailed is the error, wrapped or not, of a command that did its work
	// and found something wrong. The output says what.
	ErrCheckFailed = errors.New("check failed")

	// ErrInterrupted is the error of a command that the user interrupted.
	ErrInterrupted = errors.New("interrupted")

	// ErrStdinTwice is the error of a command that would read two things from
	// standard input.
	ErrStdinTwice = errors.New("only one thing can come from standard input (-): read the other from a file")
)

// ExitCode returns the exit code for a command's error.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrCheckFailed):
		return 2
	}
	return 1
}
