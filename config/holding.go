package config

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Holding is a folder, here or at a server, in which somebody leaves files: a vendor's
// portal its EHI exports, an EMR's own server its dumps.
type Holding struct {
	// Name is what this practice calls it, as a source's. Required; no source or second
	// copy may have the same.
	Name string `toml:"name"`
	// Folder and SFTP say where the files are left; one of them is set. Folder is an
	// absolute path, outside the mirror; SFTP is user@host:port/path.
	Folder string `toml:"folder"`
	SFTP   string `toml:"sftp"`
	// HostKey is the fingerprint of the SFTP server, SHA256:...; another one is refused.
	HostKey string `toml:"host_key"`
	// Pattern chooses among the names directly in it, such as "*.zip"; "*" by default.
	Pattern string `toml:"pattern"`
	// Expected is how often something should come: daily, weekly, monthly, quarterly, or
	// none, the default.
	Expected string `toml:"expected"`
	// Covers are what the files have that the EMR's FHIR interface does not give, in
	// words: billing, schedule, messages, images, audit, templates, history.
	Covers []string `toml:"covers"`
	// FormatDocument is a file that describes the others, kept with them; "" for none.
	FormatDocument string `toml:"format_document"`
	// Look is when the folder is looked at; "every 15 min" by default.
	Look string `toml:"look"`
	// Settle is for how long a file must have stopped growing before it is kept;
	// default 2m.
	Settle Duration `toml:"settle"`
	// Copies are the second copies that get its large files, at least two; none means
	// all. It holds for files that are kept from then on.
	Copies []string `toml:"copies"`
}

// DowntimeHolding is the name under which downtime sheets are kept: no other holding has it.
const DowntimeHolding = "downtime"

// Meant reports whether a second copy of that name gets the large files.
func (h Holding) Meant(copy string) bool {
	return len(h.Copies) == 0 || slices.Contains(h.Copies, copy)
}

// expectations are how often something may be expected of a holding.
var expectations = []string{"none", "daily", "weekly", "monthly", "quarterly"}

func (h *Holding) fill() {
	if h.Pattern == "" {
		h.Pattern = "*"
	}
	if h.Expected == "" {
		h.Expected = "none"
	}
	if h.Look == "" {
		h.Look = "every 15 min"
	}
	if h.Settle.Duration == 0 {
		h.Settle.Duration = 2 * time.Minute
	}
}

// CheckName says in words what is wrong with the name of a source or a holding.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return errors.New("name: use small letters, digits and dashes, at most 31")
	}
	return nil
}

// CheckCovers says in words what is wrong with what a holding covers.
func CheckCovers(list []string) error {
	for _, w := range list {
		if w == "" || strings.TrimSpace(w) != w || strings.ContainsAny(w, ",\n\r") {
			return fmt.Errorf("covers: %q: write one word or a few without a comma, such as billing", w)
		}
	}
	return nil
}

func (h *Holding) check(data string) error {
	_, pattern := path.Match(h.Pattern, "")
	switch {
	case CheckName(h.Name) != nil:
		return CheckName(h.Name)
	case h.Name == DowntimeHolding:
		return errors.New("name: the downtime sheets are kept under this name; choose another")
	case (h.Folder == "") == (h.SFTP == ""):
		return errors.New("write one of folder and sftp")
	case h.SFTP != "":
		if err := checkSFTP(h.SFTP, h.HostKey); err != nil {
			return err
		}
	case strings.Contains(h.Folder, "://"):
		return fmt.Errorf("folder = %q: write the full path of a folder of this computer; a server that speaks SFTP stands in sftp", h.Folder)
	case !filepath.IsAbs(h.Folder):
		return fmt.Errorf("folder = %q: write the full path of the folder in which the files are left", h.Folder)
	case within(h.Folder, data) || within(data, h.Folder):
		return fmt.Errorf("folder = %q: the folder must lie outside the data folder, and not around it", h.Folder)
	}
	switch {
	case pattern != nil || strings.Contains(h.Pattern, "/"):
		return fmt.Errorf("pattern = %q: write names with * for any letters, such as *.zip", h.Pattern)
	case !slices.Contains(expectations, h.Expected):
		return fmt.Errorf("expected = %q: write %s", h.Expected, strings.Join(expectations, ", "))
	case h.FormatDocument != "" && !filepath.IsAbs(h.FormatDocument):
		return fmt.Errorf("format_document = %q: write the full path of the file", h.FormatDocument)
	}
	return CheckCovers(h.Covers)
}

// checkCopies says in words what is wrong with the second copies of a holding.
func (h *Holding) checkCopies(all []Copy) error {
	seen := map[string]bool{}
	for _, name := range h.Copies {
		if !slices.ContainsFunc(all, func(c Copy) bool { return c.Name == name }) {
			return fmt.Errorf("copies: there is no second copy %q in these settings", name)
		}
		seen[name] = true
	}
	if len(h.Copies) > 0 && len(seen) < 2 {
		return errors.New("copies: write at least two different second copies, so that one is left when the other is lost; or none, for all")
	}
	return nil
}

// Holding returns the holding of that name.
func (s *Settings) Holding(name string) (Holding, bool) {
	i := slices.IndexFunc(s.Holdings, func(h Holding) bool { return h.Name == name })
	if i < 0 {
		return Holding{}, false
	}
	return s.Holdings[i], true
}

// HoldingBlock returns a holding as it is appended to the file.
func HoldingBlock(h Holding) []byte {
	h.fill()
	return fmt.Appendf(nil, `
[[holding]]
name = %q
folder = %q          # where the files are left
sftp = %q            # or user@host:port/path
host_key = %q        # fingerprint of that server; another one is refused
pattern = %q         # which names of it, such as "*.zip"; "*" for all
expected = %q        # how often something should come: daily, weekly, monthly, quarterly or none
covers = [%s]        # what the files have that FHIR does not give: billing, schedule, messages, images ...
format_document = %q # a file that describes them, kept with them; "" for none
look = %q            # when the folder is looked at
settle = %q          # for how long a file must have stopped growing before it is kept
copies = [%s]        # which second copies get its large files, at least two; none: all
`, h.Name, h.Folder, h.SFTP, h.HostKey, h.Pattern, h.Expected, quoted(h.Covers), h.FormatDocument, h.Look, h.Settle.String(), quoted(h.Copies))
}
