// Package terminaltest is a terminal for tests, on Linux.
package terminaltest
