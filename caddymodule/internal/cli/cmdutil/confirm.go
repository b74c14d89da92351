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

// YesFlag adds --yes, by which a command does not ask.
func YesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVar(yes, "yes", false, "do not ask first")
}

// Confirm asks at the terminal. Every answer except yes means no.
func Confirm(cmd *cobra.Command, question string) error {
	file, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return errors.New("there is no terminal to ask at: give --yes")
	}
	cmd.PrintErr(question, " [y/N] ")
	answer, err := readLine(cmd.Context(), file)
	if err != nil {
		cmd.PrintErrln()
		return err
	}
	if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return errors.New("nothing was changed")
	}
	return nil
}

// readLine reads a line, which may lack its end, until an interrupt. The read of a
// terminal cannot be cancelled, so it continues in the background.
func readLine(ctx context.Context, from io.Reader) (string, error) {
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
		return strings.TrimSpace(r.line), nil
	}
}
