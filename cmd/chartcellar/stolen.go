package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"chartcellar/config"
	"chartcellar/store"
	"chartcellar/store/disk"
)

// A reach is what whoever takes this computer can get at, with what is on it alone.
type reach struct {
	// Sheets are recovery sheets that lie on this computer in clear.
	Sheets []string `json:"sheets"`
	// SignsIn names what the computer signs in to, until that is revoked there: EMRs,
	// second copies, servers with files of holdings, the mail account. The second page
	// says how each is revoked.
	SignsIn []string `json:"signsIn"`
}

// reachOf finds out what a thief would have.
func reachOf(settings string, s config.Settings, m *store.Mirror) (r reach, err error) {
	r = reach{Sheets: []string{}, SignsIn: []string{}}
	for _, end := range []string{"*.txt", "*.pdf"} {
		list, err := filepath.Glob(sheetBeside(settings) + end)
		if err != nil {
			return r, fmt.Errorf("look for recovery sheets: %w", err)
		}
		r.Sheets = append(r.Sheets, list...)
	}
	has := func(what string, secrets ...string) error {
		for _, name := range secrets {
			b, err := m.Secret(name)
			if err != nil {
				return err
			}
			if len(b) > 0 {
				r.SignsIn = append(r.SignsIn, what)
				return nil
			}
		}
		return nil
	}
	for _, src := range s.Sources {
		if err := has("the EMR "+src.Name, src.Name+".signing", src.Name+".secret"); err != nil {
			return r, err
		}
	}
	for _, c := range s.Copies {
		if err := has("the second copy "+c.Name, copyKeyName(c), copySecretName(c)); err != nil {
			return r, err
		}
	}
	for _, h := range s.Holdings {
		if c := atServer(h); c.SFTP != "" {
			if err := has("the server with the files of "+h.Name, copyKeyName(c), copySecretName(c)); err != nil {
				return r, err
			}
		}
	}
	mail, err := disk.Exists(disk.OS{}, s.BoxKey+passwordSuffix)
	if mail {
		r.SignsIn = append(r.SignsIn, "the mail account "+s.Alerts.SMTPUser)
	}
	return r, err
}

// words say what a thief would have, and what is to be done.
func (r reach) words(keyFile bool) (list []string) {
	if keyFile {
		list = append(list, "WARNING: the office key lies in clear on this computer. Whoever steals it can read every record.")
	}
	for _, f := range r.Sheets {
		list = append(list, "WARNING: a recovery sheet lies in clear on this computer: "+f+". Whoever steals it can read every record. Print it, then delete the file.")
	}
	if len(r.SignsIn) > 0 {
		list = append(list, "A stolen computer can also sign in to "+strings.Join(r.SignsIn, ", ")+", until that is revoked there: see the second page of the recovery sheet.")
	}
	return list
}
