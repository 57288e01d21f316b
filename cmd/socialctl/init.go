package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"socialctl/configs"
)

func (a *app) initCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a configuration file with every key, its default and its meaning.",
		Long: `Write a configuration file with every key, its default and its meaning, to
FILE, to ` + defaultConfigFile + ` without one, or to standard output with -.

The file is readable by its owner only, since passwords may go into it.`,
		Example: `  socialctl init
  socialctl init --force /tmp/socialctl.yaml
  socialctl init -`,
		Args: takes(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := defaultConfigFile
			if len(args) > 0 {
				path = args[0]
			}
			return a.writeSample(path, force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "overwrite a file that is there")
	return cmd
}

func (a *app) writeSample(path string, force bool) error {
	if path == "-" {
		_, err := a.stdout.Write(configs.Sample())
		return err
	}
	write := createFile
	if force {
		write = replaceFile
	}
	switch err := write(path, configs.Sample()); {
	case errors.Is(err, fs.ErrExist):
		return usageError("%s exists; --force overwrites it", path)
	case err != nil:
		return fmt.Errorf("write the configuration: %w", err)
	}
	return a.printer().Object(struct {
		File string `json:"file"`
	}{path})
}

func createFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// replaceFile writes beside the file and renames, so that a full disk does not
// cost the configuration that was there.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
