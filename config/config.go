// Package config is the settings file: one TOML file, one struct, defaults and
// checks in words.
//
// It holds no secret and looks at nothing but the file: what the settings lead to
// is cmd's business.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Settings is the whole file.
type Settings struct {
	// Practice is the name that stands on reports and on the recovery sheet.
	Practice string `toml:"practice"`
	// Data is the folder of the mirror. Required; an absolute path on a disk of
	// this computer.
	Data string `toml:"data"`
	// BoxKey is the file of the box key, outside the data folder. Required.
	BoxKey string `toml:"box_key"`
	// KeyFile, if set, is a file with the office key in clear: the mirror then
	// opens without a passphrase, and a stolen box is readable.
	KeyFile string `toml:"key_file"`
	// ReserveMB is how many megabytes of the disk stay free. Zero, the default,
	// means 2048 or a twentieth of the disk, whichever is more.
	ReserveMB int64 `toml:"reserve_mb"`
	// Log, if set, is a file to which each command appends what happened: no names,
	// addresses or keys. An absolute path.
	Log string `toml:"log"`
	// Zone is the practice's time zone, such as "Europe/Berlin"; "" is that of this
	// computer. Schedules and reports go by it.
	Zone string `toml:"zone"`
	// Verify is when a part of the mirror is read again, so that all of it is read
	// within 30 days: "daily 06:00" by default; "off" turns it off, and the state is
	// then never good.
	Verify string `toml:"verify"`
	// Downtime is when the downtime sheet is made: "daily 18:00" by default, or as soon
	// after that as somebody who may see charts is signed in; "off" makes none.
	Downtime string `toml:"downtime"`
	// Listen is where the pages are: 127.0.0.1:8350 by default. Another address than
	// this computer's own needs TLSCert and TLSKey, or makes its own certificate.
	Listen  string `toml:"listen"`
	TLSCert string `toml:"tls_cert"`
	TLSKey  string `toml:"tls_key"`
	// NameInTitle puts the patient's name into the title of a chart's page, so that tabs can
	// be told apart. Off by default: a title stands on shared screens, in the lists of
	// windows, and in what the browser keeps of the pages it has seen.
	NameInTitle bool `toml:"name_in_title"`
	// Alerts say who is told when something goes wrong.
	Alerts Alerts `toml:"alerts"`
	// Sources are the connections to EMRs.
	Sources []Source `toml:"source"`
	// Copies are the second copies.
	Copies []Copy `toml:"copy"`
	// Holdings are folders of which the files are kept unchanged beside the records.
	Holdings []Holding `toml:"holding"`
}

// A Source is one connection to one EMR.
type Source struct {
	// Name is what this practice calls it: a-z, 0-9 and dashes. Required.
	Name string `toml:"name"`
	// Base is the FHIR address, https://... Required.
	Base string `toml:"base"`
	// Level is what is exported: group (needs Group), patient or system.
	Level string `toml:"level"`
	Group string `toml:"group"`
	// Mode is how types are fetched: auto takes the export where there is one and
	// searches where there is none; bulk and search take one of them only.
	Mode string `toml:"mode"`
	// Canary is the id of a patient who must be in every listing of patients: if he
	// is missing, the list is another practice's, and is held. "" for none.
	Canary string `toml:"canary"`
	// Types are the resource types to mirror; empty means all that are offered.
	Types []string `toml:"types"`
	// Auth is backend-services, client-secret-basic, client-secret-post, bearer
	// or none.
	Auth     string `toml:"auth"`
	ClientID string `toml:"client_id"`
	// TokenURL is needed only where the EMR does not publish it; once found, a
	// change of it stops the run.
	TokenURL string `toml:"token_url"`
	// Origins are further addresses (https://host, without a path) that may get the
	// token beside the base. Only what the vendor has confirmed in writing.
	Origins []string `toml:"origins"`
	// FileOrigins are where the EMR may send us for files, without the token. Empty:
	// where the first file lies, and from then on only there.
	FileOrigins []string `toml:"file_origins"`
	// Local allows an address on the office network.
	Local bool `toml:"local"`
	// CA is a file with a certificate authority to trust beside the system's; an
	// absolute path.
	CA string `toml:"ca"`
	// Overlap is how far each run looks back before the last one. Default 10m.
	Overlap Duration `toml:"overlap"`
	// Rate is the number of requests a second; default 5, negative for no limit.
	Rate float64 `toml:"rate"`
	// InFlight is how many searches are under way at once; default 2.
	InFlight int `toml:"in_flight"`
	// RewriteOrigin accepts page links that lead to the EMR's path on another
	// host, as a proxy that leaks its inside writes them. Only after the vendor has
	// confirmed it.
	RewriteOrigin bool `toml:"rewrite_origin"`
	// AttachmentMB is the largest document that is fetched, in megabytes; 0, the
	// default, means 200. A larger one is a gap that says so.
	AttachmentMB int64 `toml:"attachment_mb"`
	// Pull is when changes are pulled, and Full when everything is compared:
	// "daily 02:00, 12:30", "Mon-Fri 12:30; Sun 03:00", "every 4 h", "off". Default
	// daily 02:00 and Sun 03:00.
	Pull string `toml:"pull"`
	Full string `toml:"full"`
	// Hours, such as "20:00-05:00", are those to which a rule that the vendor has
	// published binds this program: what is due outside them waits for them. HoursRule
	// names the rule, as in "Example EMR, terms of use 4.2". Without such a rule leave
	// both empty: the practice's own times win.
	Hours string `toml:"hours"`
	// AccessEnds is the day, as 2027-03-01, on which the vendor says that this program's
	// registration, secret, key or consent ends; "" if no end is known.
	AccessEnds string `toml:"access_ends"`
	HoursRule  string `toml:"hours_rule"`
}

// Alerts say who is told, and how. Every way that is set is used.
type Alerts struct {
	// MailTo are the addresses that get mail; the owners' should be among them.
	MailTo   []string `toml:"mail_to"`
	MailFrom string   `toml:"mail_from"`
	// SMTP is the mail server, host:port.
	SMTP     string `toml:"smtp"`
	SMTPUser string `toml:"smtp_user"`
	// Plain allows a mail server on this computer without STARTTLS.
	Plain bool `toml:"smtp_plain"`
	// Command is a program with its arguments; it gets the alert as JSON.
	Command []string `toml:"command"`
	// Ping is an address that is called after each good run: if it stays away, the
	// service behind it raises the alarm.
	Ping string `toml:"ping"`
	// StatusFile is written at each change, for other programs.
	StatusFile string `toml:"status_file"`
	// GapDays is after how many days an open gap is told; default 7.
	GapDays int `toml:"gap_days"`
}

// A Duration is written like 10m or 24h.
type Duration struct{ time.Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is no length of time; write 10m or 24h", b)
	}
	d.Duration = v
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// ErrMissing says that there is no settings file.
var ErrMissing = errors.New("there is no settings file")

// Load reads and checks the settings file.
func Load(path string) (Settings, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Settings{}, ErrMissing
	}
	if err != nil {
		return Settings{}, fmt.Errorf("read the settings: %w", err)
	}
	s, err := Parse(b)
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Parse reads and checks settings. Every error names the line or the setting and
// what to write instead.
func Parse(b []byte) (Settings, error) {
	var s Settings
	meta, err := toml.Decode(string(b), &s)
	var bad toml.ParseError
	if errors.As(err, &bad) {
		return s, fmt.Errorf("line %d: %s", bad.Position.Line, bad.Message)
	}
	if err != nil {
		return s, fmt.Errorf("the settings cannot be read: %w", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return s, fmt.Errorf("%q is no setting; see `chartcellar config sample`", unknown[0].String())
	}
	s.fill()
	for i := range s.Sources {
		s.Sources[i].fill()
	}
	for i := range s.Copies {
		s.Copies[i].fill()
	}
	for i := range s.Holdings {
		s.Holdings[i].fill()
	}
	return s, s.check()
}

// DefaultListen is where the pages are if nothing else is said.
const DefaultListen = "127.0.0.1:8350"

func (s *Settings) fill() {
	if s.Verify == "" {
		s.Verify = "daily 06:00"
	}
	if s.Downtime == "" {
		s.Downtime = "daily 18:00"
	}
	if s.Listen == "" {
		s.Listen = DefaultListen
	}
	if s.Alerts.GapDays == 0 {
		s.Alerts.GapDays = 7
	}
}

func (s *Source) fill() {
	if s.Level == "" {
		s.Level = "group"
	}
	if s.Auth == "" {
		s.Auth = "backend-services"
	}
	if s.Mode == "" {
		s.Mode = "auto"
	}
	if s.Pull == "" {
		s.Pull = "daily 02:00"
	}
	if s.Full == "" {
		s.Full = "Sun 03:00"
	}
	if s.Overlap.Duration == 0 {
		s.Overlap.Duration = 10 * time.Minute
	}
}

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

// check says the first thing that is wrong.
func (s *Settings) check() error {
	switch {
	case !filepath.IsAbs(s.Data):
		return fmt.Errorf("data = %q: write the full path of the folder for the mirror", s.Data)
	case !filepath.IsAbs(s.BoxKey):
		return fmt.Errorf("box_key = %q: write the full path of the box key's file", s.BoxKey)
	case strings.HasPrefix(s.BoxKey, s.Data+string(filepath.Separator)):
		return errors.New("box_key: the box key must lie outside the data folder, or a copy of the folder would hold it")
	case s.Log != "" && !filepath.IsAbs(s.Log):
		return fmt.Errorf("log = %q: write the full path of the file", s.Log)
	case (s.TLSCert == "") != (s.TLSKey == ""):
		return errors.New("tls_cert and tls_key: write both, or none")
	case s.ReserveMB < 0:
		return errors.New("reserve_mb: write a number of megabytes, or 0 for the default")
	}
	seen := map[string]bool{}
	for _, src := range s.Sources {
		if err := src.check(); err != nil {
			return fmt.Errorf("source %q: %w", src.Name, err)
		}
		if seen[src.Name] {
			return fmt.Errorf("source %q stands twice; each needs a name of its own", src.Name)
		}
		seen[src.Name] = true
	}
	for _, c := range s.Copies {
		if err := c.check(); err != nil {
			return fmt.Errorf("copy %q: %w", c.Name, err)
		}
		if seen[c.Name] {
			return fmt.Errorf("copy %q: a source or another copy has that name; each needs one of its own", c.Name)
		}
		if within(c.Folder, s.Data) || within(s.Data, c.Folder) {
			return fmt.Errorf("copy %q: its folder and the mirror lie in one another; choose a folder on another disk", c.Name)
		}
		seen[c.Name] = true
	}
	for _, h := range s.Holdings {
		if err := h.check(s.Data); err != nil {
			return fmt.Errorf("holding %q: %w", h.Name, err)
		}
		if err := h.checkCopies(s.Copies); err != nil {
			return fmt.Errorf("holding %q: %w", h.Name, err)
		}
		if seen[h.Name] {
			return fmt.Errorf("holding %q: a source, a copy or another holding has that name; each needs one of its own", h.Name)
		}
		seen[h.Name] = true
	}
	return nil
}

// within reports whether a path lies in a folder, or is it.
func within(path, folder string) bool {
	if path == "" || folder == "" {
		return false
	}
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func (s *Source) check() error {
	u, err := url.Parse(s.Base)
	switch {
	case CheckName(s.Name) != nil:
		return CheckName(s.Name)
	case err != nil || u.Host == "" || u.Scheme != "https" && !(s.Local && u.Scheme == "http"):
		return errors.New("base: write the FHIR address, beginning with https://")
	case s.CA != "" && !filepath.IsAbs(s.CA):
		return fmt.Errorf("ca = %q: write the full path of the file", s.CA)
	case !slices.Contains([]string{"group", "patient", "system"}, s.Level):
		return fmt.Errorf("level = %q: write group, patient or system", s.Level)
	case s.Level == "group" && s.Group == "" && s.Mode != "search":
		return errors.New("group: write the id of the group to export, or set level")
	case !slices.Contains([]string{"auto", "bulk", "search"}, s.Mode):
		return fmt.Errorf("mode = %q: write auto, bulk or search", s.Mode)
	case s.InFlight < 0 || s.InFlight > 16:
		return errors.New("in_flight: write how many searches at once, from 1 to 16; 0 for 2")
	case s.AccessEnds != "" && !isDay(s.AccessEnds):
		return fmt.Errorf("access_ends = %q: write the day as 2027-03-01, or \"\" if no end is known", s.AccessEnds)
	case (s.Hours == "") != (s.HoursRule == ""):
		return errors.New("hours, hours_rule: write both, the hours and the vendor's rule that asks for them, or none")
	case s.AttachmentMB < 0:
		return errors.New("attachment_mb: write a number of megabytes, or 0 for 200")
	case !slices.Contains([]string{"backend-services", "client-secret-basic", "client-secret-post", "bearer", "none"}, s.Auth):
		return fmt.Errorf("auth = %q: write backend-services, client-secret-basic, client-secret-post, bearer or none", s.Auth)
	}
	return errors.Join(s.checkOrigins("origins", s.Origins), s.checkOrigins("file_origins", s.FileOrigins))
}

func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// checkOrigins checks addresses that have no path.
func (s *Source) checkOrigins(name string, list []string) error {
	for _, o := range list {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Scheme != "https" {
			return fmt.Errorf("%s: %q: write https:// and the name of the host, and nothing behind it", name, o)
		}
	}
	return nil
}

// Source returns the source of that name; with "" the only one there is.
func (s *Settings) Source(name string) (Source, error) {
	if name == "" && len(s.Sources) == 1 {
		return s.Sources[0], nil
	}
	for _, src := range s.Sources {
		if src.Name == name {
			return src, nil
		}
	}
	switch {
	case len(s.Sources) == 0:
		return Source{}, errors.New("no EMR is connected yet; see `chartcellar connect --help`")
	case name == "":
		return Source{}, errors.New("there are several sources; name one with --source")
	}
	return Source{}, fmt.Errorf("there is no source %q in the settings", name)
}

// Sample returns a commented file with these settings, but for the sources.
func Sample(s Settings) []byte {
	s.fill()
	return fmt.Appendf(nil, `# chartcellar: settings. Lines that begin with # are remarks.

# The name that stands on reports and on the recovery sheet.
practice = %q

# The folder of the mirror, on a disk of this computer.
data = %q

# The box key. It opens no record, but lets this computer sign in to the EMR.
# It must lie outside the data folder.
box_key = %q

# A file with the office key in clear: the mirror then opens without a
# passphrase, and WHOEVER STEALS THE BOX CAN READ EVERY RECORD. "" for none.
key_file = %q

# Megabytes that stay free on the disk; 0 means 2048 or a twentieth of it.
reserve_mb = %d

# A file to which each command appends what happened, for whoever helps you: no
# names, addresses or keys. "" for none.
log = %q

# The practice's time zone, such as "America/New_York"; "" is this computer's.
zone = %q

# When a part of the mirror is read again; all of it within 30 days.
verify = %q

# When the sheet for a day without any EMR is made; "off" for never.
downtime = %q

# Where the pages are. Another address than this computer's own, such as
# "0.0.0.0:8350" for the office network, is served by https: with your own
# certificate, or with one that is made here.
listen = %q
tls_cert = %q
tls_key = %q

# Whether the title of a chart's page, as tabs and lists of windows show it, names the
# patient.
name_in_title = %t

# Who is told when something goes wrong, by "chartcellar serve"; every way that is set
# is used. Try it: chartcellar alerts test
[alerts]
mail_to = []         # every owner's address; a removed one hears of that
mail_from = ""       # "" is smtp_user, or the first of mail_to
smtp = ""            # host:port; STARTTLS, or TLS on port 465
smtp_user = ""       # its password: chartcellar alerts password
smtp_plain = false   # a mail server on this computer without STARTTLS
command = []         # a program with its full path, and its arguments; it gets the alert as JSON
ping = ""            # https address, called after each good run; keep it to yourself
status_file = ""     # full path; the state, for other programs
gap_days = 7         # after how many days an open gap is told

# Each EMR is a [[source]]. "chartcellar connect" adds one at the end. Each second copy
# is a [[copy]]; "chartcellar copy add" adds one.
# Each folder of which the files are kept unchanged beside the records is a [[holding]];
# "chartcellar connect NAME --files FOLDER" adds one, of this computer or of a server:
#
# [[holding]]
# name = "billing"
# folder = "/srv/exports"  # where the vendor's portal or the EMR's server leaves them
# sftp = ""                # or user@host:port/path, and in host_key its fingerprint
# pattern = "*.zip"        # which names of it; "*" for all
# expected = "monthly"     # daily, weekly, monthly, quarterly or none
# covers = ["billing"]     # what they have that FHIR does not give
# format_document = ""     # a file that describes them, kept with them
# look = "every 15 min"    # when the folder is looked at
# settle = "2m"            # for how long a file must have stopped growing
# copies = []              # which second copies get its large files, at least two; none: all
`, s.Practice, s.Data, s.BoxKey, s.KeyFile, s.ReserveMB, s.Log, s.Zone, s.Verify, s.Downtime, s.Listen, s.TLSCert, s.TLSKey, s.NameInTitle)
}

// Block returns a source as it is appended to the file.
func Block(s Source) []byte {
	s.fill()
	return fmt.Appendf(nil, `
[[source]]
name = %q
base = %q          # FHIR address
level = %q         # group, patient or system
group = %q         # id of the group, for level group
mode = %q          # auto, bulk (exports only), search (searches only)
canary = %q        # id of a patient who must always be there
types = [%s]       # empty: all that the EMR offers
auth = %q          # backend-services, client-secret-basic, client-secret-post, bearer, none
client_id = %q
token_url = %q     # the EMR's token address; a change of it stops the run
origins = [%s]     # further https://host that may get the token; only what the vendor confirmed
file_origins = [%s] # https://host where its files lie; empty: where the first one lies
local = %v         # the EMR is on the office network
ca = %q            # certificate authority to trust beside the system's
overlap = %q       # how far each run looks back before the last one
rate = %v          # requests a second; 0 means 5, negative no limit
in_flight = %d      # searches at once; 0 means 2
rewrite_origin = %v # page links on another host are the EMR's own; only if the vendor says so
attachment_mb = %d  # largest document that is fetched; 0 means 200
pull = %q          # when changes are pulled: "daily 02:00, 12:30", "every 4 h", "off"
full = %q          # when everything is compared: "Sun 03:00"
hours = %q         # "20:00-05:00", only if a published rule of the vendor binds you; "" for none
hours_rule = %q    # which rule, as it is shown: "Example EMR, terms of use 4.2"
access_ends = %q   # the day on which the vendor ends this access, such as "2027-03-01"; told 30 days before
`, s.Name, s.Base, s.Level, s.Group, s.Mode, s.Canary, quoted(s.Types), s.Auth, s.ClientID, s.TokenURL,
		quoted(s.Origins), quoted(s.FileOrigins), s.Local, s.CA, s.Overlap.String(), s.Rate, s.InFlight, s.RewriteOrigin, s.AttachmentMB, s.Pull, s.Full, s.Hours, s.HoursRule, s.AccessEnds)
}

// quoted returns the inside of a TOML list.
func quoted(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(q, ", ")
}
