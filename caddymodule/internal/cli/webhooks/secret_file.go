package webhooks

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// secretSink is the destination of a new signing secret, which ElevenLabs shows once.
type secretSink struct {
	file  string
	print bool

	opened *os.File
}

// secretSinkFlags adds the flags that say where the new secret goes.
func secretSinkFlags(cmd *cobra.Command) *secretSink {
	s := new(secretSink)
	cmd.Flags().StringVar(&s.file, "secret-out", "", "write the signing secret to this new `file`, which only you can read")
	cmd.Flags().BoolVar(&s.print, "print-secret", false, "print the signing secret, this once")
	cmd.MarkFlagsMutuallyExclusive("secret-out", "print-secret")
	return s
}

// check returns an error if the flags name no destination.
func (s *secretSink) check() error {
	if s.file == "" && !s.print {
		return errors.New("give --secret-out <file> or --print-secret: ElevenLabs shows the signing secret only once")
	}
	if s.file == "-" {
		return errors.New("--secret-out must be a file: to print the secret, give --print-secret")
	}
	return nil
}

// open creates the file, before there is a secret that could be lost.
func (s *secretSink) open() error {
	if s.file == "" {
		return nil
	}
	var err error
	s.opened, err = os.OpenFile(s.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("creating the file for the secret, so nothing was created at ElevenLabs: %w", err)
	}
	return nil
}

// write puts the secret into the file. It adds no line end, which other software
// may read as part of the secret.
func (s *secretSink) write(secret string) error {
	if s.opened == nil {
		return nil
	}
	_, err := s.opened.WriteString(secret)
	return errors.Join(err, s.opened.Sync(), s.opened.Close())
}

// discard removes the file if there is no secret for it.
func (s *secretSink) discard() {
	if s.opened != nil {
		_ = s.opened.Close()
		_ = os.Remove(s.file) // it is empty
	}
}
