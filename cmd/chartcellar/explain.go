package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/config"
	"chartcellar/fhirsync"
	"chartcellar/fhirsync/bulk"
	"chartcellar/fhirsync/rest"
	"chartcellar/fhirsync/smart"
	"chartcellar/store"
	"chartcellar/store/chart"
	"chartcellar/store/index"
	"chartcellar/store/keys"
)

// A plainError is an error as a person reads it: what happened, whether
// anything is lost, what to do next.
type plainError struct {
	Code int    `json:"exit"`
	What string `json:"what"`
	Lost string `json:"lost"`
	Next string `json:"next"`
}

// Error implements error.
func (p *plainError) Error() string { return p.What }

func (p *plainError) print(e *env) {
	if e.json {
		e.printJSON(map[string]any{"error": p}) // the exit code says the same
		return
	}
	fmt.Fprintln(e.Stderr, p.What)
	for _, s := range []string{p.Lost, p.Next} {
		if s != "" {
			fmt.Fprintln(e.Stderr, s)
		}
	}
}

func usage(what string) error { return &plainError{Code: exitUsage, What: sentence(what)} }

// quiet is an exit code whose reason is on the screen already.
func quiet(code int) error {
	if code == exitGood {
		return nil
	}
	return &plainError{Code: code}
}

const nothingLost = "Nothing is lost: what the mirror holds is unchanged."

// sentence gives a text a capital and a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// explain turns any error into words.
func explain(err error) *plainError {
	var p *plainError
	if errors.As(err, &p) {
		return p
	}
	for _, f := range []func(error) *plainError{explainCopy, explainStore, explainKeys, explainEMR, explainRest} {
		if p := f(err); p != nil {
			return p
		}
	}
	if strings.HasPrefix(err.Error(), "unknown command") {
		return &plainError{Code: exitUsage, What: sentence(err.Error()), Next: "See: chartcellar --help"}
	}
	return &plainError{Code: exitFailed, What: sentence(err.Error()), Lost: nothingLost,
		Next: "Try again; if it happens again, keep this message for whoever helps you."}
}

func explainStore(err error) *plainError {
	var busy *store.BusyError
	var early *store.TooEarlyError
	switch {
	case errors.Is(err, config.ErrMissing):
		return &plainError{exitUsage, "There are no settings yet.", "", "Start with: chartcellar init --data FOLDER"}
	case errors.Is(err, charts.ErrNotHeld):
		return &plainError{exitFailed, "The copy does not hold this document: its record says only where the EMR has it.",
			"The record is kept whole. The document is at the EMR, unless it was removed there: of it there is no copy.",
			"Save it by hand from the EMR while you can; its address: chartcellar document list TYPE/ID --json"}
	case errors.Is(err, store.ErrNoMirror):
		return &plainError{exitFailed, "The folder of the mirror is gone, or holds no mirror.",
			"Nothing was written. If the folder is on a disk that is not plugged in, the records are on it.",
			"Plug the disk in, or correct \"data\" in the settings: chartcellar config path"}
	case errors.As(err, &busy):
		return &plainError{exitBusy, sentence(busy.Error()), nothingLost, "Wait until it has ended, then try again."}
	case errors.Is(err, store.ErrNeedsUnlock):
		return &plainError{exitLocked, "The index does not match the archive and must be made anew, which needs your passphrase.",
			"No record is lost: the archive holds them all.", "Run: chartcellar index rebuild"}
	case errors.Is(err, store.ErrOldSheet):
		return &plainError{exitLocked, "This is an older recovery sheet: a newer one has taken its place.", nothingLost,
			"Take the newest sheet. What the old paper can still do in wrong hands, and how to end it: chartcellar keys rekey --help"}
	case errors.Is(err, store.ErrOneKey):
		return &plainError{exitUsage, sentence(err.Error()), nothingLost, "Run: chartcellar keys rekey --to FOLDER"}
	case errors.Is(err, store.ErrNoOffice):
		return &plainError{exitLocked, "The recovery sheet opens every record, and does not give the office key, which this needs: this mirror was made by an earlier release.", nothingLost,
			"Give a passphrase that opens the mirror. If all are forgotten: chartcellar keys rekey --to FOLDER --sheet FILE"}
	case errors.Is(err, store.ErrLocked):
		return &plainError{exitLocked, "The mirror is locked: this needs a passphrase, and none that fits was given.",
			nothingLost, "Run it again and type your passphrase, or use the recovery sheet: --sheet FILE"}
	case errors.Is(err, store.ErrNetwork):
		return &plainError{exitUsage, "The folder is on a network drive, where a power cut could damage the mirror.", nothingLost,
			"Choose a folder on a disk of this computer."}
	case errors.Is(err, store.ErrFull):
		return &plainError{exitFailed, sentence(err.Error()), "Nothing is lost: what was stored is kept, and the pull goes on where it stopped.",
			"Make room on the disk, then run: chartcellar sync"}
	case errors.Is(err, store.ErrRolledBack):
		return &plainError{exitDamage, sentence(err.Error()), "Newer records may be missing from this folder; they are still where the newer copy is.",
			"Put the newest folder back. Do not go on with this one unless you know why it is older."}
	case errors.Is(err, store.ErrNewer):
		return &plainError{exitFailed, "This mirror was written by a newer release of chartcellar.", nothingLost, "Install the newer release."}
	case errors.As(err, &early):
		return &plainError{exitFailed, "The mirror has no copy from that day: " + early.Error() + ".",
			"Nothing is lost: what the EMR held before was never copied as it stood then; records keep their own dates.",
			"Choose that day or a later one; see: chartcellar runs list"}
	case errors.Is(err, chart.ErrRefused):
		return &plainError{exitFailed, "The record is not as FHIR R4 says.", nothingLost,
			"Look at its own elements: chartcellar record TYPE/ID"}
	case errors.Is(err, store.ErrSealed):
		return &plainError{exitFailed, "This patient is sealed: no record is shown.", "Nothing is lost: every byte is in the archive.",
			"Who sealed it and why: chartcellar patients sealed"}
	case errors.Is(err, store.ErrNotFound):
		return &plainError{exitFailed, "The mirror has no such record: it was never among what the EMR gave.", nothingLost,
			"Check the type and the id, with the capital letters as they are."}
	case errors.Is(err, store.ErrLost):
		return &plainError{exitDamage, "The newest version of it was damaged, no copy had it, and it was declared lost.",
			"Older versions may be here: chartcellar record --versions TYPE/ID", "What the EMR still has comes back with the next pull: chartcellar sync"}
	case errors.Is(err, store.ErrUnfinished):
		return &plainError{exitFailed, "A pull of this EMR was begun and has not ended; nothing can be declared lost before it has.",
			"Nothing was changed.", "End it first: chartcellar sync. Then run this again."}
	case errors.Is(err, store.ErrDamaged), errors.Is(err, index.ErrBad):
		return &plainError{exitDamage, "Stored bytes are not what was written: " + cause(err) + ".",
			"What is damaged is not shown. Everything else in the mirror can be read.", "See what is affected: chartcellar verify --depth full"}
	}
	return nil
}

// cause is the part of an error that names a file or a part.
func cause(err error) string {
	s, _, _ := strings.Cut(err.Error(), ": damaged")
	return s
}

func explainKeys(err error) *plainError {
	var line *keys.LineError
	switch {
	case errors.Is(err, keys.ErrWrongPassword):
		return &plainError{exitLocked, "The passphrase does not open this mirror.", nothingLost,
			"Type it again; capital letters count. If it is forgotten, the recovery sheet opens the mirror: --sheet FILE"}
	case errors.Is(err, keys.ErrShort):
		return &plainError{exitUsage, sentence(err.Error()), nothingLost, "Choose a longer one: four or five words are good."}
	case errors.As(err, &line):
		return &plainError{exitLocked, sentence(line.Error()), nothingLost, "Compare that line with the sheet, letter by letter."}
	case errors.Is(err, keys.ErrForged):
		return &plainError{exitDamage, "The file that says whose mirror this is was exchanged: it is not signed by this mirror's keys.",
			"The archive itself was not touched.", "Compare mirror/000001.json with the hash on the recovery sheet before you go on."}
	case errors.Is(err, keys.ErrDamaged):
		return &plainError{exitFailed, "The box key, or a file that it seals, is damaged or belongs to another computer.",
			"No record is lost: the passphrase and the recovery sheet still open the archive.",
			"Put the right box key back at the place that the settings name: chartcellar config path"}
	}
	return nil
}

func explainEMR(err error) *plainError {
	var notYet *fhirsync.NotYet
	var token *smart.Error
	switch {
	case errors.Is(err, context.Canceled):
		return &plainError{exitFailed, "Stopped.", "Nothing is lost: what was stored is kept.", "Go on where it stopped: chartcellar sync"}
	case errors.As(err, &notYet):
		return &plainError{exitFailed, sentence(notYet.Error()), nothingLost, "Run chartcellar sync after that time."}
	case errors.Is(err, bulk.ErrLost), errors.Is(err, bulk.ErrNoLocation):
		return &plainError{exitFailed, "The EMR's answer to the export request was lost. It may be at work on the export.", nothingLost,
			"Run chartcellar sync again in an hour; asking sooner could start a second export."}
	case errors.Is(err, smart.ErrClock):
		return &plainError{exitFailed, "This computer's clock is wrong by more than four minutes, so that the EMR would refuse the sign-in.",
			nothingLost, "Set the clock (or let the computer do it by itself), then run: chartcellar sync"}
	case errors.As(err, &token) && token.Code != "":
		return &plainError{exitFailed, fmt.Sprintf("The EMR refused the sign-in (%s).", token.Code), nothingLost,
			"Compare the client id and the registered key with the vendor's page: chartcellar connect signing-key"}
	case errors.As(err, &token):
		return &plainError{exitFailed, "The EMR's sign-in did not answer as it should.", nothingLost, "Try again later; if it stays so, ask the vendor."}
	}
	return nil
}

// restWords are what each kind of failed request means and what to do.
var restWords = map[rest.Kind][2]string{
	rest.Offline:      {"The EMR could not be reached.", "Check the internet connection, then run: chartcellar sync"},
	rest.DNS:          {"The EMR's name is not known on the internet.", "Check the internet connection and the address in the settings."},
	rest.Certificate:  {"The EMR's certificate is not good.", "Tell the vendor."},
	rest.Timeout:      {"The EMR did not answer in time.", "Run chartcellar sync again later."},
	rest.SignIn:       {"The EMR does not accept our sign-in for this.", "Check with the vendor what this client may do; the group id may be wrong too."},
	rest.Forbidden:    {"The EMR does not allow this.", "Ask the vendor to allow what the worksheet lists: chartcellar connect NAME --worksheet"},
	rest.NotFound:     {"The EMR does not know this address.", "Check the address and the group id in the settings."},
	rest.Throttled:    {"The EMR asks us to wait.", "Run chartcellar sync again later."},
	rest.ServerBroken: {"The EMR has a fault of its own.", "Run chartcellar sync again later; if it stays so, tell the vendor."},
	rest.NotFHIR:      {"The EMR answered with something that is no FHIR, such as a sign-in page.", "Check the address; if it is right, wait: the EMR may be under maintenance."},
	rest.UnsafeURL:    {"The EMR sent us to an address that we do not go to.", "Ask the vendor; an EMR in your own office needs \"local = true\" in the settings."},
	rest.Cut:          {"The connection broke off again and again.", "Check the internet connection, then run: chartcellar sync"},
}

// certificateWords are what each fault of a certificate means and what to do.
var certificateWords = map[string][2]string{
	rest.Expired: {"The EMR's certificate is not good: it has expired, or this computer's clock is wrong.",
		"Check this computer's clock. If it is right, tell the vendor: only they can renew the certificate."},
	rest.UnknownCA: {"The EMR's certificate is signed by nobody whom this computer trusts.",
		"An EMR in your own office often has its own certificate authority: give its file with --ca FILE, or as \"ca\" in the settings. " +
			"An EMR on the internet needs none: then an antivirus, a firewall or a proxy of the office reads along; make an exception for the EMR there."},
	rest.AnotherHost: {"The EMR's certificate is for another name than the address has.",
		"Compare the address in the settings with the vendor's page, letter by letter."},
}

func explainRest(err error) *plainError {
	var e *rest.Error
	switch {
	case errors.As(err, &e) && e.Kind == rest.WrongVersion:
		return &plainError{exitFailed, fmt.Sprintf("The EMR speaks FHIR %s; chartcellar needs FHIR R4 (4.0).", e.Detail), nothingLost,
			"Ask the vendor for the R4 address."}
	case errors.As(err, &e) && e.Kind == rest.Elsewhere:
		return &plainError{exitFailed, fmt.Sprintf("The EMR sent us to %s, where its files were not until now. Nothing was sent there.", e.Detail), nothingLost,
			fmt.Sprintf("Ask the vendor whether that is theirs. If it is, add to the settings of this EMR: file_origins = [%q], beside those that hold now.", e.Detail)}
	case errors.As(err, &e):
		w, ok := restWords[e.Kind]
		if c, special := certificateWords[e.Detail]; special && e.Kind == rest.Certificate {
			w = c
		}
		if !ok {
			w = [2]string{"The EMR refused the request.", "Keep this message for the vendor."}
		}
		return &plainError{exitFailed, w[0] + " (" + e.Error() + ")", nothingLost, w[1]}
	case errors.Is(err, fs.ErrPermission):
		return &plainError{exitFailed, "This user may not read or write a file: " + err.Error() + ".", nothingLost,
			"Run chartcellar as the user who made the mirror."}
	}
	return nil
}
