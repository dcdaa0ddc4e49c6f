package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
)

// logFlags are those of every command.
type logFlags struct {
	file    string
	verbose bool
}

// openLog starts the log, unless it is open: into a file, and with --verbose onto
// the screen. What may stand in it is said in the style guide: events, kinds and
// counts; no name, id, address, query or key.
func (e *env) openLog(file string) error {
	if e.logTo != nil || e.held != nil || file == "" && (!e.flags.verbose || e.log != nil) {
		return nil
	}
	var w io.Writer
	if e.flags.verbose {
		w = e.Stderr
	}
	if file != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		e.logTo = f
		if w = io.Writer(f); e.flags.verbose {
			w = io.MultiWriter(f, e.Stderr)
		}
	}
	level := slog.LevelInfo
	if e.flags.verbose {
		level = slog.LevelDebug
	}
	e.log = slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
	return nil
}
