package main

import (
	"cmp"
	"context"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"chartcellar/config"
	"chartcellar/fhirsync/rest"
	"chartcellar/fhirsync/smart"
	"chartcellar/store"
)

func connectCommand(e *env) *cobra.Command {
	var o connectOptions
	c := command("connect NAME", "Connect an EMR, and test the connection step by step",
		`connect adds an EMR under a name of your choice, makes the key with which this
computer signs in, and tests each step: address, capabilities, sign-in, export.

First run it with --worksheet: it prints what the vendor's registration form asks.
When the vendor has given you a client id, run it again with --client-id.

With --files it adds a folder instead, in which a vendor's portal or an EMR's own server
leaves files: they are kept unchanged beside the records, as the holding NAME. The folder
is one of this computer, or sftp://user@host:port/path: the first call makes a key, prints
its line for the server's authorized_keys and the fingerprint that the server shows;
compare that with what its operator tells you, and call again with --host-key. --password
uses a password instead (CHARTCELLAR_COPY_SECRET).`,
		cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
			if o.files.Folder != "" {
				o.files.Name = a[0]
				return e.connectFiles(ctx, o.files, o.password)
			}
			return e.connect(ctx, a[0], o)
		})
	f := c.Flags()
	f.StringVar(&o.Base, "base", "", "FHIR address of the EMR, https://...")
	f.StringVar(&o.Level, "level", "", "what to export: group (default), patient or system")
	f.StringVar(&o.Group, "group", "", "id of the group to export")
	f.StringVar(&o.Mode, "mode", "", "auto (default), bulk (exports only) or search (searches only)")
	f.StringVar(&o.Canary, "canary", "", "id of a patient who must always be there: if he is missing, the list is another practice's")
	f.StringSliceVar(&o.Types, "types", nil, "resource types to mirror (default: all that are offered)")
	f.StringVar(&o.Auth, "auth", "", "backend-services (default), client-secret-basic, client-secret-post, bearer, none")
	f.StringVar(&o.ClientID, "client-id", "", "client id that the vendor gave you")
	f.StringVar(&o.TokenURL, "token-url", "", "token address, where the EMR does not publish it")
	f.StringSliceVar(&o.Origins, "origin", nil, "a further https://host that may get the token; only what the vendor confirmed")
	f.StringSliceVar(&o.FileOrigins, "file-origin", nil, "https://host where the EMR keeps its files (default: where the first one lies)")
	f.StringVar(&o.CA, "ca", "", "file of a certificate authority to trust")
	f.BoolVar(&o.Local, "local", false, "the EMR is on the office network")
	f.IntVar(&o.InFlight, "in-flight", 0, "searches at once (0: 2)")
	f.Float64Var(&o.Rate, "rate", 0, "requests a second (0: 5, negative: no limit)")
	f.StringVar(&o.files.Folder, "files", "", "watch this folder and keep the files in it, instead of an EMR: a path, or sftp://user@host:port/path")
	f.StringVar(&o.files.Pattern, "pattern", "", "with --files: which names, such as \"*.zip\" (default: all)")
	f.StringVar(&o.files.Expected, "expected", "", "with --files: how often something should come: daily, weekly, monthly, quarterly or none (default)")
	f.StringSliceVar(&o.files.Covers, "covers", nil, "with --files: what they have that FHIR does not give: billing, schedule, messages, images ...")
	f.StringVar(&o.files.FormatDocument, "format-document", "", "with --files: a file that describes them, kept with them")
	f.StringVar(&o.files.HostKey, "host-key", "", "with --files: fingerprint of the SFTP server, SHA256:...")
	f.BoolVar(&o.password, "password", false, "with --files: the SFTP server wants a password")
	f.StringSliceVar(&o.files.Copies, "copies", nil, "with --files: only these second copies get its large files; at least two (default: all)")
	f.BoolVar(&o.worksheet, "worksheet", false, "print what the vendor's registration form asks")
	c.AddCommand(signingKeyCommand(e), renewCommand(e))
	c.AddCommand(command("test [NAME]", "Test the connection again, step by step", "",
		cobra.MaximumNArgs(1), func(ctx context.Context, a []string) error { return e.connectTest(ctx, strings.Join(a, "")) }))
	return c
}

type connectOptions struct {
	config.Source
	worksheet bool
	files     config.Holding
	password  bool // of the server of files
}

func (e *env) connect(ctx context.Context, name string, o connectOptions) error {
	o.Name = name
	if o.CA != "" { // the next command may run in another folder
		var err error
		if o.CA, err = e.abs(o.CA); err != nil {
			return err
		}
	}
	a := access{doing: "connect", write: true}
	if needsSecret(o.Auth) {
		a.asks = "CHARTCELLAR_CLIENT_SECRET"
	}
	return e.withMirror(ctx, a, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		known, err := s.Source(name)
		if err == nil && o.Base == "" {
			o.Source = known
		} else if err == nil {
			return usage("there is a source " + name + " already; change it in the settings file, then: chartcellar connect test")
		}
		if o.worksheet {
			return e.worksheet(ctx, m, o.Source)
		}
		if o.Base == "" {
			return usage("give the address of the EMR: --base https://...")
		}
		if o.ClientID == "" && o.Auth != "none" && o.Auth != "bearer" {
			return usage("give the client id that the vendor gave you (--client-id), or see --worksheet")
		}
		if err := e.keepSecret(m, o.Source); err != nil {
			return err
		}
		return e.addSource(ctx, m, o.Source, known.Name != "")
	})
}

// addSource tests a new source and appends it to the settings.
func (e *env) addSource(ctx context.Context, m *store.Mirror, src config.Source, known bool) error {
	s := &steps{e: e}
	if known {
		return e.testSteps(ctx, m, src, s)
	}
	whole, src, err := e.withSource(src)
	if err != nil {
		return err
	}
	if err := e.testSteps(ctx, m, src, s); err != nil {
		return err
	}
	if err := e.writeSource(m, "owner", src, whole); err != nil {
		return err
	}
	e.printf("The EMR is connected as %q. Next: chartcellar sync\n", src.Name)
	return nil
}

// appendSource adds a source to the settings, tested or not.
func (e *env) appendSource(m *store.Mirror, by string, src config.Source) error {
	whole, src, err := e.withSource(src)
	if err != nil {
		return err
	}
	return e.writeSource(m, by, src, whole)
}

// withSource returns the settings file with a new source, and the source as it is read
// from there.
func (e *env) withSource(src config.Source) ([]byte, config.Source, error) {
	path, err := e.settingsPath()
	if err != nil {
		return nil, src, err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return nil, src, fmt.Errorf("read the settings: %w", err)
	}
	whole := append(old, config.Block(src)...)
	parsed, err := config.Parse(whole)
	if err != nil {
		return nil, src, usage(err.Error())
	}
	src, err = parsed.Source(src.Name)
	return whole, src, err
}

// writeSource writes the settings with a new source, once the journal has it.
func (e *env) writeSource(m *store.Mirror, by string, src config.Source, whole []byte) error {
	path, err := e.settingsPath()
	if err != nil {
		return err
	}
	if err := m.Journal(store.Event{Code: "source.add", Account: by, Key: store.Key{Source: src.Name}}); err != nil {
		return err
	}
	if err := e.putSettings(m, by, path, whole); err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	return e.changed(m, notice{code: "source.add", by: by, source: src.Name})
}

func needsSecret(auth string) bool {
	return auth == "client-secret-basic" || auth == "client-secret-post" || auth == "bearer"
}

// keepSecret asks for a client secret or token and seals it.
func (e *env) keepSecret(m *store.Mirror, src config.Source) error {
	if !needsSecret(src.Auth) {
		return nil
	}
	secret, err := e.askSecret("CHARTCELLAR_CLIENT_SECRET", "Client secret or token from the vendor")
	if err != nil {
		return err
	}
	if secret == "" {
		return usage("a client secret or token is needed for --auth " + src.Auth)
	}
	return m.PutSecret(src.Name+".secret", []byte(secret))
}

// A worksheet is what registration forms ask.
type worksheet struct {
	alg, other string // how the key signs, and how it could
	scopes     []string
	jwks       string
	rows       [][2]string
}

// makeWorksheet makes the key of a source, if there is none yet. With an address it
// asks the EMR first which kind of key it takes.
func (e *env) makeWorksheet(ctx context.Context, m *store.Mirror, src config.Source) (w worksheet, err error) {
	conf := smart.Configuration{}
	if src.Base != "" {
		if c, err := connection(m, src, e, nil); err == nil {
			if found, err := smart.Discover(ctx, c); err == nil { // else the default is right for nearly all
				conf = found
			}
			c.CloseIdle()
		}
	}
	ring, err := sourceRing(m, src.Name, conf.Alg())
	if err != nil {
		return w, err
	}
	jwks, err := smart.JWKS(ring.Published()...)
	if err != nil {
		return w, err
	}
	w = worksheet{alg: ring.Current.Alg(), scopes: conf.Scopes(src.Types), jwks: string(jwks)}
	w.other = map[string]string{"RS384": "ES384", "ES384": "RS384"}[w.alg]
	w.rows = [][2]string{
		{"Kind of app", "SMART backend service (system app, no user signs in)"},
		{"Purpose", "the practice's own backup of its own records, in its office"},
		{"FHIR version", "R4 (4.0.1)"},
		{"Sign-in", "private_key_jwt, " + w.alg},
		{"Scopes", strings.Join(w.scopes, " ")},
		{"Operations", "Bulk Data export: Group/[id]/$export, status, file download"},
		{"Writes", "none"},
		{"Redirect address", "none"},
		{"JWKS", "paste the key below, or put it on the practice's web site and give that address"}}
	return w, nil
}

// worksheet prints what registration forms ask.
func (e *env) worksheet(ctx context.Context, m *store.Mirror, src config.Source) error {
	w, err := e.makeWorksheet(ctx, m, src)
	if err != nil {
		return err
	}
	e.printf("WORKSHEET FOR THE EMR VENDOR'S REGISTRATION FORM\n\n")
	for _, row := range w.rows {
		e.printf("  %-20s %s\n", row[0], row[1])
		switch row[0] {
		case "Sign-in":
			e.printf("%23s(if the form takes %s only, first:\n%23schartcellar connect signing-key %s --alg %s)\n", "", w.other, "", src.Name, w.other)
		case "Scopes":
			e.printf("%23s(system/Group.rs too, if groups are exported)\n", "")
		}
	}
	e.printf("\n%s\n\n  Ask the vendor for:  the FHIR address, the client id, and the id of a Group\n%23sthat holds all patients of the practice.\n", w.jwks, "")
	return nil
}

func (e *env) connectTest(ctx context.Context, name string) error {
	return e.withMirror(ctx, access{doing: "connect test"}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		src, err := s.Source(name)
		if err != nil {
			return usage(err.Error())
		}
		return e.testSteps(ctx, m, src, &steps{e: e})
	})
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}

// connection makes the client of a source.
func connection(m *store.Mirror, src config.Source, e *env, observe func(rest.Exchange)) (*rest.Client, error) {
	o := rest.Options{Base: src.Base, Origins: src.Origins, FileOrigins: src.FileOrigins, Local: src.Local,
		Rate: cmp.Or(src.Rate, e.rate), UserAgent: "chartcellar/" + release, Log: e.logger(),
		RewriteOrigin: src.RewriteOrigin, Observe: observe}
	if src.CA != "" {
		b, err := os.ReadFile(src.CA)
		if err != nil {
			return nil, fmt.Errorf("read the certificate authority: %w", err)
		}
		if block, _ := pem.Decode(b); block == nil {
			return nil, usage("the file of the certificate authority (ca) is no PEM file")
		}
		o.CA = b
	}
	if err := e.pinFiles(m, src, &o); err != nil {
		return nil, err
	}
	return rest.New(o)
}

// pinFiles keeps where the EMR's files lie: what the settings say, else where the
// first one was.
func (e *env) pinFiles(m *store.Mirror, src config.Source, o *rest.Options) error {
	if len(src.FileOrigins) > 0 {
		return nil
	}
	o.FileOrigins = nil
	known, err := m.Secret(src.Name + ".file-origin")
	if err != nil {
		return err
	}
	if known != nil {
		o.FileOrigins = []string{string(known)}
		return nil
	}
	o.NewFileOrigin = func(origin string) error {
		fmt.Fprintf(e.Stderr, "The EMR keeps its files at %s. From now on they are fetched from there only.\n", origin)
		return m.PutSecret(src.Name+".file-origin", []byte(origin))
	}
	return nil
}

// signIn makes the token source of a connection. The token address is pinned at
// the first sign-in; another one later stops the run (P3).
func (e *env) signIn(ctx context.Context, m *store.Mirror, src config.Source, c *rest.Client) (*smart.Source, smart.Configuration, error) {
	conf := smart.Configuration{TokenURL: src.TokenURL}
	if e.isConnected(src.Name) {
		if err := signInAgain(m, src); err != nil {
			return nil, conf, err
		}
	}
	o := smart.Options{Method: smart.Method(src.Auth), ClientID: src.ClientID, HTTP: c.TokenClient(), Skew: c.Skew}
	if o.Method != smart.Bearer && o.Method != smart.None {
		found, err := smart.Discover(ctx, c)
		if err != nil && src.TokenURL == "" {
			return nil, conf, err
		}
		if src.TokenURL == "" {
			conf = found
		}
		if err := pinToken(m, src.Name, conf.TokenURL); err != nil {
			return nil, conf, err
		}
	}
	o.TokenURL, o.Scopes = conf.TokenURL, conf.Scopes(src.Types)
	if src.Level == "group" && len(src.Types) > 0 {
		o.Scopes = append(o.Scopes, conf.Scopes([]string{"Group"})...)
	}
	secret, err := m.Secret(src.Name + ".secret")
	if err != nil {
		return nil, conf, err
	}
	o.Secret = string(secret)
	if o.Method == smart.BackendServices {
		if err := e.signingKeys(ctx, m, src.Name, conf, &o); err != nil {
			return nil, conf, err
		}
	}
	s := smart.NewSource(o)
	c.SetTokens(s)
	return s, conf, nil
}

func pinToken(m *store.Mirror, name, tokenURL string) error {
	old, err := m.Secret(name + ".token-url")
	if err != nil {
		return err
	}
	if old == nil {
		return m.PutSecret(name+".token-url", []byte(tokenURL))
	}
	if hostOf(string(old)) != hostOf(tokenURL) {
		return movedError{&plainError{exitFailed, fmt.Sprintf("The EMR's sign-in address has changed from %s to %s.", hostOf(string(old)), hostOf(tokenURL)),
			nothingLost, "Ask the vendor whether that is right. If it is, set token_url in the settings and remove secrets/" + name + ".token-url in the data folder."}}
	}
	return nil
}
