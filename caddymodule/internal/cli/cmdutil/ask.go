package cmdutil

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// terminal returns standard input if that is a terminal.
func terminal(cmd *cobra.Command) (file *os.File, ok bool) {
	file, ok = cmd.InOrStdin().(*os.File)
	return file, ok && term.IsTerminal(int(file.Fd()))
}

// CanAsk reports whether there is a terminal to ask at.
func CanAsk(cmd *cobra.Command) bool {
	_, ok := terminal(cmd)
	return ok
}

// Ask asks at the terminal for a line. The end of the input, by Ctrl-D, counts as an
// interrupt.
func Ask(cmd *cobra.Command, question string) (string, error) {
	file, ok := terminal(cmd)
	if !ok {
		return "", errNoTerminal
	}
	cmd.PrintErr(question, " ")
	text, err := readText(cmd.Context(), file)
	if err == nil && text == "" {
		err = ErrInterrupted
	}
	if err != nil {
		cmd.PrintErrln()
		return "", err
	}
	return strings.TrimSpace(text), nil
}

// AskHidden asks at the terminal for a line, and does not show what is typed.
func AskHidden(cmd *cobra.Command, question string) (string, error) {
	file, ok := terminal(cmd)
	if !ok {
		return "", errNoTerminal
	}
	text, err := askHidden(cmd, file, question)
	return strings.TrimSpace(text), err
}

var errNoTerminal = errors.New("there is no terminal to ask at")

// askHidden asks at the terminal, and does not show what is typed.
func askHidden(cmd *cobra.Command, file *os.File, question string) (string, error) {
	state, err := term.GetState(int(file.Fd()))
	if err != nil {
		return "", fmt.Errorf("asking at the terminal: %w", err)
	}
	type result struct {
		typed []byte
		err   error
	}
	results := make(chan result, 1)
	cmd.PrintErr(question, " ")
	defer cmd.PrintErrln()
	go func() {
		typed, err := term.ReadPassword(int(file.Fd()))
		results <- result{typed, err}
	}()
	select {
	case <-cmd.Context().Done():
		_ = term.Restore(int(file.Fd()), state) // the read goes on
		return "", ErrInterrupted
	case r := <-results:
		if r.err != nil {
			return "", fmt.Errorf("reading the answer: %w", r.err)
		}
		return string(r.typed), nil
	}
}

// readLine reads a line without its end and the blanks around it.
func readLine(ctx context.Context, from io.Reader) (string, error) {
	text, err := readText(ctx, from)
	return strings.TrimSpace(text), err
}

// readText reads a line, which may lack its end, until an interrupt. The read of a
// terminal cannot be cancelled, so it continues in the background.
func readText(ctx context.Context, from io.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	results := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(from).ReadString('\n')
		results <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ErrInterrupted
	case r := <-results:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", fmt.Errorf("reading the answer: %w", r.err)
		}
		return r.line, nil
	}
}
