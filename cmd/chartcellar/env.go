package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"chartcellar/store"
	accounts "chartcellar/store/access"
	"chartcellar/store/disk"
)

// release is the version of the program.
const release = "0.1.0"

// The exit codes.
const (
	exitGood    = 0
	exitUsage   = 2
	exitGaps    = 10
	exitHeld    = 11
	exitFailed  = 12
	exitDamage  = 13
	exitOverdue = 14
	exitLocked  = 15
	exitBusy    = 16
)

// An env is the surroundings of a command.
type env struct {
	Stdin       io.Reader
	Stdout      io.Writer
	Stderr      io.Writer
	Getenv      func(string) string
	Terminal    bool // Stdout is one
	AskTerminal bool // Stdin is one

	disk   disk.FS          // nil: the real one
	work   accounts.Work    // what a password costs; zero: accounts.DefaultWork, only tests make it less
	rate   float64          // requests a second where the settings say none; 0: as they promise, only tests make it more
	spare  int64            // store.Options.Ballast; 0: the usual, only tests keep less
	clock  func() time.Time // nil: time.Now
	log    *slog.Logger     // nil: none
	logTo  io.Closer        // the log's file, if there is one
	flags  logFlags
	config string // path of the settings file
	copy   string // folder of a second copy that is read instead of the office copy; "": none
	json   bool
	args   []string      // as they were typed
	dir    string        // where they were typed, in a call for another process; "": here
	held   *store.Mirror // in a call for another process: the mirror it shares
	secret string        // the passphrase that came with such a call, or was typed here
	asked  string        // the further secret that came with it
	input  *bufio.Reader // of Stdin, once a line was read there
	ring   *ring         // who has the mirror open, in such a call
	daemon *daemonSlot   // in the process that runs by itself, and in calls to it
	apart  bool          // it has a process of its own: not in a call for another, not in a test
}

// now returns the time.
func (e *env) now() time.Time {
	if e.clock == nil {
		return time.Now()
	}
	return e.clock()
}

// fsys is where files are.
func (e *env) fsys() disk.FS {
	if e.disk == nil {
		return disk.OS{}
	}
	return e.disk
}

// logger returns where events go, never nil.
func (e *env) logger() *slog.Logger {
	if e.log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return e.log
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// run carries one command out and returns its exit code.
func run(ctx context.Context, e *env, args []string) int {
	e.args = args
	root := rootCommand(e)
	root.SetArgs(args)
	root.SetIn(e.Stdin)
	root.SetOut(e.Stdout)
	root.SetErr(e.Stderr)
	c, err := root.ExecuteContextC(ctx)
	p := &plainError{}
	if err != nil {
		p = explain(err)
	}
	if p.What != "" {
		p.print(e)
	}
	e.logger().InfoContext(ctx, "command ended", "command", c.CommandPath(), "exit", p.Code)
	if e.logTo != nil {
		e.logTo.Close() // a log line that is lost is no reason to fail
	}
	return p.Code
}

func rootCommand(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "chartcellar",
		Short: "Your practice's own copy of the records in your hosted EMR",
		Long: `chartcellar pulls a practice's records from its EMR over FHIR, keeps them sealed
and verified in the office, and opens them without the vendor.

Exit codes: 0 good, 2 usage, 10 complete with gaps, 11 held for a decision,
12 failed or interrupted (nothing is lost), 13 damage found, 14 overdue, 15 locked,
16 the mirror is in use.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&e.config, "config", "", "settings file (default: in your configuration folder)")
	root.PersistentFlags().StringVar(&e.copy, "copy", "", "read the second copy in this folder, with the recovery key or the copy's phrase, instead of the office copy")
	root.PersistentFlags().BoolVar(&e.json, "json", false, "print JSON for scripts")
	root.PersistentFlags().StringVar(&e.flags.file, "log", "", "append what happens to this file, for whoever helps you (no names, addresses or keys)")
	root.PersistentFlags().BoolVarP(&e.flags.verbose, "verbose", "v", false, "print what happens, request by request")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return e.openLog(e.flags.file) }
	root.AddCommand(demoCommand(e), initCommand(e), adoptCommand(e), connectCommand(e), syncCommand(e), statusCommand(e),
		patientsCommand(e), patientCommand(e), chartCommand(e), searchCommand(e), documentCommand(e), downtimeCommand(e), logCommand(e),
		runsCommand(e), verifyCommand(e), repairCommand(e), recordCommand(e), exportCommand(e), indexCommand(e), keysCommand(e),
		copyCommand(e), restoreCommand(e), drillCommand(e), wipeCommand(e),
		serveCommand(e), serviceCommand(e), scheduleCommand(e), reportCommand(e), alertsCommand(e), gapsCommand(e), coverageCommand(e), evidenceCommand(e), holdingCommand(e), accountsCommand(e), configCommand(e), fakeemrCommand(e), benchCommand(e), versionCommand(e))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err.Error()) })
	return root
}

// command makes a command; its arguments are checked before it runs.
func command(use, short, long string, args cobra.PositionalArgs, f func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: long,
		Args: func(c *cobra.Command, a []string) error {
			if err := args(c, a); err != nil {
				return usage(err.Error() + "; see: " + c.CommandPath() + " --help")
			}
			return nil
		},
		RunE: func(c *cobra.Command, a []string) error { return f(c.Context(), a) }}
}

func (e *env) printf(format string, a ...any) { fmt.Fprintf(e.Stdout, format, a...) }

// printJSON prints a value as indented JSON.
func (e *env) printJSON(v any) error {
	enc := json.NewEncoder(e.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// abs returns the full name of a file as it was typed.
func (e *env) abs(name string) (string, error) {
	if filepath.IsAbs(name) || e.dir == "" {
		return filepath.Abs(name)
	}
	return filepath.Join(e.dir, name), nil
}

// settingsPath returns where the settings are.
func (e *env) settingsPath() (string, error) {
	if e.config != "" {
		return e.abs(e.config)
	}
	if p := e.Getenv("CHARTCELLAR_CONFIG"); p != "" {
		return p, nil
	}
	home := e.Getenv("XDG_CONFIG_HOME")
	if home == "" {
		var err error
		if home, err = os.UserConfigDir(); err != nil {
			return "", errors.New("there is no folder for settings; use --config")
		}
	}
	return filepath.Join(home, "chartcellar", "settings.toml"), nil
}

// askSecret reads a passphrase: from the call, the environment, the terminal,
// or the next line of standard input.
func (e *env) askSecret(variable, prompt string) (string, error) {
	switch {
	case e.held != nil && variable == "CHARTCELLAR_PASSPHRASE":
		return e.secret, nil
	case e.held != nil:
		return e.asked, nil
	}
	if s := e.Getenv(variable); s != "" {
		return s, nil
	}
	if f, ok := e.Stdin.(*os.File); ok && e.AskTerminal {
		fmt.Fprint(e.Stderr, prompt+": ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.Stderr)
		return string(b), err
	}
	return e.line()
}

// line reads the next line of standard input; "" at its end.
func (e *env) line() (string, error) {
	if e.input == nil {
		e.input = bufio.NewReaderSize(e.Stdin, 4096)
	}
	b, err := e.input.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimRight(string(b), "\r\n"), err
}
