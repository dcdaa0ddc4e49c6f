package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"chartcellar/cmd/chartcellar/internal/control"
	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/keys"
)

// settings loads the settings file.
func (e *env) settings() (config.Settings, error) {
	path, err := e.settingsPath()
	if err != nil {
		return config.Settings{}, err
	}
	s, err := config.Load(path)
	if err != nil && !errors.Is(err, config.ErrMissing) {
		return s, badSettings(err)
	}
	return s, err
}

// badSettings says that the settings file was edited to nonsense.
func badSettings(err error) error {
	return &plainError{exitUsage, "The settings cannot be used: " + err.Error() + ".", nothingLost,
		"Correct that line; see: chartcellar config sample"}
}

// An access is how a command uses the mirror.
type access struct {
	doing string // for others that find it busy
	write bool   // it changes the mirror: it holds it itself, or asks the daemon
	alone bool   // nobody else may have the mirror open
	waits bool   // for a short command that has it open just now
	asks  string // variable of a further secret that the command asks for, if any
	what  string // that secret, in words; "": the EMR's
	key   bool   // it reads records
	sheet string // file with the recovery key, instead of the passphrase
	typed bool   // the recovery key is typed, instead of the passphrase
}

// withMirror opens the mirror and calls f. A reading command that finds it in
// use asks the process that holds it instead; while f runs, others can ask this
// one.
func (e *env) withMirror(ctx context.Context, a access, f func(context.Context, config.Settings, *store.Mirror) error) error {
	if e.copy != "" {
		return e.fromCopy(ctx, a, f)
	}
	s, err := e.settings()
	if err != nil {
		return err
	}
	if err := e.openLog(s.Log); err != nil {
		return err
	}
	if e.held != nil {
		return e.shared(ctx, a, s, f)
	}
	secret, asked := "", ""
	if a.typed {
		if e.secret = e.Getenv("CHARTCELLAR_SHEET"); e.secret == "" {
			e.secret = e.typedSheet()
		}
		secret = e.secret
	}
	for deadline := time.Now().Add(3 * time.Second); ; {
		err = e.own(ctx, a, s, &secret, f)
		cause := err
		var busy *store.BusyError
		if a.waits && errors.As(err, &busy) && busy.Holder.Doing != "serve" && time.Now().Before(deadline.Add(7*time.Second)) {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if !errors.As(err, &busy) || a.write && busy.Holder.Doing != "serve" || busy.Holder.Socket == "" {
			return err
		}
		if a.key && secret == "" && s.KeyFile == "" && a.sheet == "" {
			if secret, err = e.askSecret("CHARTCELLAR_PASSPHRASE", "Passphrase"); err != nil {
				return err
			}
		}
		if a.asks != "" && asked == "" {
			if asked, err = e.askSecret(a.asks, orElse(a.what, "Client secret or token from the vendor")); err != nil {
				return err
			}
		}
		dir, err := os.Getwd()
		if err != nil {
			return fmt.Errorf("find the working folder: %w", err)
		}
		code, err := control.Ask(ctx, busy.Holder.Socket, control.Call{Version: release, Args: e.callArgs(), Dir: dir, Secret: secret, Asked: asked},
			e.Stdout, e.Stderr)
		switch {
		case err == nil:
			return quiet(code)
		case !errors.Is(err, control.ErrGone):
			return err
		case time.Now().After(deadline):
			return cause
		}
		time.Sleep(50 * time.Millisecond) // it is just ending or just beginning
	}
}

// callArgs are the words of the command, with the settings' place spelled out.
func (e *env) callArgs() []string {
	path, err := e.settingsPath()
	if err != nil {
		return e.args
	}
	return append([]string{"--config=" + path}, e.args...)
}

// own opens the mirror in this process.
func (e *env) own(ctx context.Context, a access, s config.Settings, secret *string, f func(context.Context, config.Settings, *store.Mirror) error) error {
	socket, err := control.Path(s.Data)
	if err != nil {
		return err
	}
	o, err := e.storeOptions(s, a, socket)
	if err != nil {
		return err
	}
	m, err := store.Open(ctx, o)
	if errors.Is(err, store.ErrNeedsUnlock) && a.key {
		if o.Identity, err = e.identity(s, a, nil, secret); err != nil {
			return err
		}
		m, err = store.Open(ctx, o)
	}
	if err != nil {
		return err
	}
	e.log = e.logger().With("mirror", m.ID())
	defer m.Close() // a failed close loses nothing: the next open looks closer
	if a.key && m.Locked() {
		id, err := e.identity(s, a, m, secret)
		if err != nil {
			return err
		}
		if err := m.Unlock(id); err != nil {
			return err
		}
	}
	return e.serving(ctx, socket, s, m, f)
}

// serving calls f while other commands can ask this process.
func (e *env) serving(ctx context.Context, socket string, s config.Settings, m *store.Mirror, f func(context.Context, config.Settings, *store.Mirror) error) error {
	e.ring = &ring{}
	if e.daemon == nil {
		e.daemon = &daemonSlot{ready: make(chan struct{})}
		close(e.daemon.ready) // there will be none
	}
	sctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var serveErr error
	wg.Go(func() { serveErr = control.Serve(sctx, socket, e.answer(m)) })
	err := f(ctx, s, m)
	stop()
	wg.Wait()
	return errors.Join(err, serveErr)
}

// answer carries out commands for other processes.
func (e *env) answer(m *store.Mirror) control.Handler {
	return func(ctx context.Context, c control.Call, stdout, stderr io.Writer) int {
		if c.Version != release {
			fmt.Fprintf(stderr, "The mirror is in use by another release of chartcellar (%s).\nNothing is lost.\nWait until it has ended.\n", release)
			return exitBusy
		}
		call := &env{Stdin: strings.NewReader(""), Stdout: stdout, Stderr: stderr,
			Getenv: e.Getenv, disk: e.disk, work: e.work, rate: e.rate, spare: e.spare, clock: e.clock, log: e.log, held: m, dir: c.Dir, secret: c.Secret, asked: c.Asked, ring: e.ring}
		call.daemon = e.daemon
		return run(ctx, call, c.Args)
	}
}

// shared uses the mirror that this process holds for its main command.
func (e *env) shared(ctx context.Context, a access, s config.Settings, f func(context.Context, config.Settings, *store.Mirror) error) error {
	if a.alone && e.daemon.get() != nil {
		return &plainError{exitBusy, "\"chartcellar serve\" is running and has the office copy open.", nothingLost,
			"Stop it for as long as this command takes, then start it again."}
	}
	if a.write && e.daemon.get() == nil || a.alone {
		return &store.BusyError{Holder: store.Holder{PID: os.Getpid(), Doing: "another command"}}
	}
	if !a.key {
		return f(ctx, s, e.held)
	}
	// Whoever asks must have the key himself, also while somebody else has the
	// mirror open.
	id, err := e.ring.identity(func() (age.Identity, error) { return e.identity(s, a, e.held, &e.secret) })
	if err != nil {
		return err
	}
	release, err := e.ring.open(e.held, id)
	if err != nil {
		return err
	}
	defer release()
	return f(ctx, s, e.held)
}

func (e *env) storeOptions(s config.Settings, a access, socket string) (store.Options, error) {
	box, err := e.readBox(s)
	if err != nil {
		return store.Options{}, err
	}
	o := store.Options{Dir: s.Data, Box: box, Witness: s.BoxKey + ".witness", Reserve: s.ReserveMB << 20, Ballast: e.spare,
		Doing: a.doing, Socket: socket, FS: e.disk, Log: e.logger()}
	if s.KeyFile != "" {
		if id, err := readKeyFile(s.KeyFile); err == nil {
			o.Identity = id
		} else if a.key {
			return o, err
		}
	}
	return o, nil
}

func readKeyFile(path string) (*age.X25519Identity, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return age.ParseX25519Identity(line)
		}
	}
	return nil, fmt.Errorf("read the key file: it holds no key")
}

// identity gets what opens records: the sheet, the key file, or a passphrase.
func (e *env) identity(s config.Settings, a access, m *store.Mirror, secret *string) (age.Identity, error) {
	if a.sheet != "" {
		text, err := e.sheetFile(a.sheet)
		if err != nil {
			return nil, err
		}
		return keys.ParseSheet(sheetKey(text))
	}
	if a.typed {
		return keys.ParseSheet(sheetKey(*secret))
	}
	if s.KeyFile != "" {
		return readKeyFile(s.KeyFile)
	}
	if *secret == "" {
		var err error
		if *secret, err = e.askSecret("CHARTCELLAR_PASSPHRASE", "Passphrase"); err != nil {
			return nil, err
		}
	}
	e.secret = *secret
	u := &keys.Unlocker{}
	if m == nil {
		return e.openSlotFiles(s, u, *secret)
	}
	return m.OpenSlot(u, *secret)
}

// openSlotFiles opens a slot while the mirror itself cannot be opened yet.
func (e *env) openSlotFiles(s config.Settings, u *keys.Unlocker, secret string) (age.Identity, error) {
	box, err := e.readBox(s)
	if err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(s.Data, "slots", "*.age"))
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			return nil, fmt.Errorf("read a passphrase slot: %w", err)
		}
		if id, err := u.OpenSlot(box, b, secret); err == nil {
			return id, nil
		}
	}
	return nil, keys.ErrWrongPassword
}

// sheetKey takes the lines of the key out of a whole sheet, if it is one.
func sheetKey(text string) string {
	_, key, found := strings.Cut(text, "THE RECOVERY KEY")
	if !found {
		return text
	}
	_, key, _ = strings.Cut(key, "\n")
	key, _, _ = strings.Cut(key, "TO OPEN")
	return key
}
