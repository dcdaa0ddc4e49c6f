package access_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chartcellar/store/access"
)

func TestNames(t *testing.T) {
	tests := []struct {
		name, give string
		want       error
	}{
		{"a plain one", "mary", nil},
		{"with accent, hyphen and space", "José Ángel-Ruiz 2", nil},
		{"an address", "mary@practice.example", nil},
		{"of another alphabet", "Ольга", nil},
		{"Japanese, which mixes three", "山田たろう", nil},
		{"that of the owner", "olivia", access.ErrNameTaken},
		{"the owner's in capitals", "OLIVIA", access.ErrNameTaken},
		{"the owner's with an accent", "Olívia", access.ErrNameTaken},
		{"the owner's with a one", "o1ivia", access.ErrNameTaken},
		{"the owner's with a zero", "0livia", access.ErrNameTaken},
		{"the owner's with a space", "ol ivia", access.ErrNameTaken},
		{"the owner's in wide letters", "ｏｌｉｖｉａ", access.ErrNameTaken},
		{"the owner's with a Cyrillic o", "оlivia", access.ErrBadName},
		{"the owner's with a mark that is not seen", "oli\u200bvia", access.ErrBadName},
		{"the owner's written from right to left", "\u202eaivilo", access.ErrBadName},
		{"of one letter", "m", access.ErrBadName},
		{"empty", "", access.ErrBadName},
		{"of spaces", "   ", access.ErrBadName},
		{"too long", strings.Repeat("ab", 21), access.ErrBadName},
		{"with a line break inside is one space", "ma\nry", nil},
		{"with markup", "<b>mary", access.ErrBadName},
		{"that begins with a sign", "-rf", access.ErrBadName},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := owned(t)
			_, err := o.a.Create(t.Context(), o.in("olivia", ownerPassword),
				access.NewAccount{Name: tt.give, Role: access.IT, Password: itPassword})
			want(t, "Create", err, tt.want)
		})
	}
}

// TestFold: folding twice changes nothing, and what looks alike is one.
func TestFold(t *testing.T) {
	for _, pair := range [][2]string{{"Ian", "lan"}, {"mоrе", "more"}, {"barn", "bam"}, {"ΑΒΟ", "abo"},
		{"Dr. Wu", "dr.vvu"}, {"scope", "ѕсоре"}, {"Zoë", "zoe"}} {
		if access.Fold(pair[0]) != access.Fold(pair[1]) {
			t.Errorf("Fold(%q) = %q, Fold(%q) = %q", pair[0], access.Fold(pair[0]), pair[1], access.Fold(pair[1]))
		}
	}
	if access.Fold("mary") == access.Fold("marc") {
		t.Error("two names are one")
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "name")
		if once := access.Fold(s); access.Fold(once) != once {
			t.Fatalf("Fold(%q) = %q, folded again %q", s, once, access.Fold(once))
		}
	})
}

func TestPasswords(t *testing.T) {
	o := newOffice(t)
	o.practice = "Lakeside Family Medicine"
	o.open()
	tests := []struct {
		name, give string
		want       error
	}{
		{"four words", "tractor violet seven pond", nil},
		{"twelve characters at random", "kW9#vn2!qTzu", nil},
		{"letters of another alphabet", "береза трактор семь", nil},
		{"eleven characters", "elevenchars", access.ErrShortPassword},
		{"257 characters", strings.Repeat("tractor ", 33), access.ErrLongPassword},
		{"password with a year", "Password2026!", access.ErrCommonPassword},
		{"password in disguise", "P@ssw0rd1234", access.ErrCommonPassword},
		{"twice the same word", "welcomewelcome", access.ErrCommonPassword},
		{"thrice the same word", "summersummersummer", access.ErrCommonPassword},
		{"two words of the list", "admin-password", access.ErrCommonPassword},
		{"a season and a year", "Summer2026!!", access.ErrCommonPassword},
		{"a walk over the keys", "1qaz2wsx3edc", access.ErrCommonPassword},
		{"the upper row", "qwertyuiop12", access.ErrCommonPassword},
		{"counting", "123456789012", access.ErrCommonPassword},
		{"counting back", "987654321098", access.ErrCommonPassword},
		{"the alphabet", "abcdefghijklm", access.ErrCommonPassword},
		{"one letter", "aaaaaaaaaaaaaa", access.ErrCommonPassword},
		{"two letters", "abababababab", access.ErrCommonPassword},
		{"the sign-in name twice", "mary.jones-mary.jones", access.ErrNamePassword},
		{"the display name and a year", "MaryJones-2026", access.ErrNamePassword},
		{"the practice", "lakesidefamilymedicine", access.ErrNamePassword},
		{"the practice and a number", "Lakeside Family 77", access.ErrNamePassword},
		{"a name in a long sentence", "mary has eleven purple tractors", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want(t, "CheckPassword", o.a.CheckPassword(tt.give, "mary.jones", "Dr. Mary Jones"), tt.want)
		})
	}
}

// TestWhoMakesWhom goes through every role that does something to every role.
func TestWhoMakesWhom(t *testing.T) {
	base := staffed(t)
	base.person("stan", access.Staff, 0, "four words apart counter")
	base.close()
	who := map[string]string{"olivia": ownerPassword, "doris": doctorPassword, "mark": managerPassword,
		"ivan": itPassword, "stan": "four words apart counter"}
	for name, password := range who {
		t.Run(name, func(t *testing.T) {
			o := base.copyTo(t, base.fs).open()
			token := o.in(name, password)
			me := o.account(name)
			for _, role := range access.Roles() {
				fine := me.Role == access.Owner || me.Role == access.IT && role == access.IT
				var wanted error
				if !fine {
					wanted = access.ErrDenied
				}
				_, err := o.a.Create(t.Context(), token, access.NewAccount{Name: "new" + string(role), Role: role, Password: "a first one for you"})
				want(t, "Create "+string(role), err, wanted)
			}
			for other := range who {
				acc := o.account(other)
				if fine := me.Role == access.Owner || me.Role == access.IT && acc.Role == access.IT; fine {
					continue
				}
				_, err := o.a.ResetPassword(t.Context(), token, acc.ID, "a first one for you")
				want(t, "ResetPassword of "+other, err, access.ErrDenied)
				_, err = o.a.Disable(t.Context(), token, acc.ID)
				want(t, "Disable "+other, err, access.ErrDenied)
				role, grants := access.IT, access.GrantCharts
				_, err = o.a.Change(t.Context(), token, acc.ID, access.Change{Role: &role, Password: "a first one for you"})
				want(t, "Change the role of "+other, err, access.ErrDenied)
				_, err = o.a.Change(t.Context(), token, acc.ID, access.Change{Grants: &grants})
				if err == nil {
					t.Errorf("%s gave %s a grant", name, other)
				}
			}
			if me.Role == access.IT {
				role := access.Doctor
				_, err := o.a.Change(t.Context(), token, o.account("newIT").ID, access.Change{Role: &role, Password: "a first one for you"})
				want(t, "Change of an IT account to a doctor", err, access.ErrDenied)
			}
		})
	}
}

// TestManagerAndCharts: an owner gives a manager charts, which makes a key slot,
// and takes them away, which closes it.
func TestManagerAndCharts(t *testing.T) {
	o := staffed(t)
	owner := o.in("olivia", ownerPassword)
	mark := o.account("mark")
	session := o.in("mark", managerPassword)
	charts, none := access.GrantCharts, access.Grants(0)
	slots := len(o.slots)

	_, err := o.a.Change(t.Context(), owner, mark.ID, access.Change{Grants: &charts})
	want(t, "Change without a password", err, access.ErrNeedsPassword)
	if _, err = o.a.Change(t.Context(), owner, mark.ID, access.Change{Grants: &charts, Password: "given with the charts"}); err != nil {
		t.Fatalf("Change = %v", err)
	}
	if len(o.slots) != slots+1 {
		t.Errorf("%d slots, want %d", len(o.slots), slots+1)
	}
	_, err = o.a.Use(session)
	want(t, "Use of the earlier session", err, access.ErrNoSession)
	token := o.in("mark", "given with the charts")
	_, err = o.a.Allow(token, access.SeeCharts)
	want(t, "Allow before the password is changed", err, access.ErrMustChange)
	token, _, err = o.a.ChangePassword(t.Context(), token, "given with the charts", managerPassword)
	want(t, "ChangePassword", err, nil)
	_, err = o.a.Allow(token, access.SeeCharts)
	want(t, "Allow", err, nil)
	_, err = o.a.Allow(token, access.SeeSensitive)
	want(t, "Allow of what is sensitive", err, access.ErrDenied)

	if _, err = o.a.Change(t.Context(), owner, mark.ID, access.Change{Grants: &none, Password: "given without charts"}); err != nil {
		t.Fatalf("Change = %v", err)
	}
	_, err = o.a.Use(token)
	want(t, "Use after the charts were taken", err, access.ErrNoSession)
	for name, p := range o.slots {
		if p == managerPassword {
			t.Errorf("slot %s still opens", name)
		}
	}
	if live, err := o.a.LiveSlots(); err != nil || len(live) > 0 {
		t.Errorf("LiveSlots = %v, %v", live, err)
	}
	_, err = o.a.Allow(o.in("mark", "given without charts"), access.SeeCharts)
	want(t, "Allow after the charts were taken", err, access.ErrMustChange)
}

func TestLastOwnerStays(t *testing.T) {
	o := staffed(t)
	owner := o.in("olivia", ownerPassword)
	_, err := o.a.Disable(t.Context(), owner, o.account("olivia").ID)
	want(t, "Disable oneself", err, access.ErrOwnAccount)
	role := access.Doctor
	_, err = o.a.Change(t.Context(), owner, o.account("doris").ID, access.Change{Role: new(access.Owner)})
	want(t, "Change a doctor to an owner", err, nil)
	doris := o.in("doris", doctorPassword)
	_, err = o.a.Change(t.Context(), doris, o.account("olivia").ID, access.Change{Role: &role})
	want(t, "Change the other owner", err, nil)
	_, err = o.a.Use(owner)
	want(t, "Use after the role changed", err, access.ErrNoSession)
	_, err = o.a.Disable(t.Context(), o.in("olivia", ownerPassword), o.account("doris").ID)
	want(t, "Disable by somebody who was an owner", err, access.ErrDenied)
	_, err = o.a.Disable(t.Context(), doris, o.account("doris").ID)
	want(t, "Disable the last owner", err, access.ErrOwnAccount)
}

// TestDisable: sessions end, the slot is closed, and what fails is tried again.
func TestDisable(t *testing.T) {
	o := staffed(t)
	owner, doris := o.in("olivia", ownerPassword), o.in("doris", doctorPassword)
	acc := o.account("doris")
	o.broken["slots"] = errors.New("disk full")
	_, err := o.a.Disable(t.Context(), owner, acc.ID)
	want(t, "Disable with a broken disk", err, access.ErrSlotStays)
	_, err = o.a.Use(doris)
	want(t, "Use", err, access.ErrNoSession)
	_, _, err = o.a.SignIn(t.Context(), "doris", doctorPassword, "x")
	want(t, "SignIn", err, access.ErrWrong)
	if live, _ := o.a.LiveSlots(); len(live) != 1 {
		t.Errorf("LiveSlots = %v, want one", live)
	}
	delete(o.broken, "slots")
	want(t, "CloseSlots", o.a.CloseSlots(), nil)
	for _, p := range o.slots {
		if p == doctorPassword {
			t.Error("the slot still opens")
		}
	}
	_, err = o.a.Enable(t.Context(), owner, acc.ID, "")
	want(t, "Enable without a password", err, access.ErrNeedsPassword)
	_, err = o.a.Enable(t.Context(), owner, acc.ID, "given for her return")
	want(t, "Enable", err, nil)
	_, err = o.a.Use(o.in("doris", "given for her return"))
	want(t, "Use after Enable", err, nil)
}

// TestDisplayName ends no session; other changes do.
func TestDisplayName(t *testing.T) {
	o := staffed(t)
	owner, mark := o.in("olivia", ownerPassword), o.in("mark", managerPassword)
	id, name := o.account("mark").ID, "Mark\u0000 the \n Manager "
	acc, err := o.a.Change(t.Context(), owner, id, access.Change{Display: &name})
	if err != nil || acc.Display != "Mark the Manager" {
		t.Errorf("Change = %q, %v", acc.Display, err)
	}
	_, err = o.a.Use(mark)
	want(t, "Use", err, nil)
	if _, err = o.a.ResetPassword(t.Context(), owner, id, "given for a new day"); err != nil {
		t.Errorf("ResetPassword = %v", err)
	}
	_, err = o.a.Use(mark)
	want(t, "Use after ResetPassword", err, access.ErrNoSession)
}

// TestJournalFirst: what cannot be written in the journal does not happen.
func TestJournalFirst(t *testing.T) {
	o := staffed(t)
	owner, mark := o.in("olivia", ownerPassword), o.in("mark", managerPassword)
	before, err := o.a.Accounts()
	if err != nil {
		t.Fatal(err)
	}
	slots := len(o.slots)
	full := errors.New("the disk is full")
	o.broken["journal"] = full
	id := o.account("mark").ID
	display := "Other"
	for what, do := range map[string]func() error{
		"SignIn": func() error { _, _, err := o.a.SignIn(t.Context(), "doris", doctorPassword, "x"); return err },
		"StepUp": func() error { _, _, err := o.a.StepUp(t.Context(), owner, ownerPassword); return err },
		"Create": func() error {
			_, err := o.a.Create(t.Context(), owner, access.NewAccount{Name: "nina", Role: access.Doctor, Password: "given for the first day"})
			return err
		},
		"Change": func() error {
			_, err := o.a.Change(t.Context(), owner, id, access.Change{Display: &display})
			return err
		},
		"Reset": func() error {
			_, err := o.a.ResetPassword(t.Context(), owner, id, "given for the first day")
			return err
		},
		"Disable": func() error { _, err := o.a.Disable(t.Context(), owner, id); return err },
		"Password": func() error {
			_, _, err := o.a.ChangePassword(t.Context(), mark, managerPassword, "given for the first day")
			return err
		},
		"SetIdle": func() error { return o.a.SetIdle(owner, access.IT, access.MinIdle) },
		"Rescue":  func() error { _, _, err := o.a.Rescue(recoveryKey); return err },
		"SetUp off": func() error {
			_, err := o.a.SetUp(t.Context(), "x", access.FirstOwner{})
			return errors.Join(err, full)
		},
	} {
		want(t, what, do(), full)
	}
	if after, _ := o.a.Accounts(); !slices.Equal(after, before) || len(o.slots) != slots {
		t.Error("something changed without a journal line")
	}
	want(t, "Lock", o.a.Lock(owner), nil)
	o.a.SignOut(mark)
	_, err = o.a.Look(mark)
	want(t, "Look after SignOut", err, access.ErrNoSession)
	_, err = o.a.Look(owner)
	want(t, "Look after Lock", err, access.ErrSessionLocked)
}

// TestNothingInClear: no password, code or token is in the file or the journal.
func TestNothingInClear(t *testing.T) {
	o := newOffice(t).open()
	code, _, err := o.a.NewSetupCode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.a.SetUp(t.Context(), "here", access.FirstOwner{Code: code, Name: "olivia", Password: ownerPassword}); err != nil {
		t.Fatal(err)
	}
	o.person("stan", access.Staff, 0, "four words apart counter")
	token := o.in("stan", "four words apart counter")
	const reason = "Mr. Canary is at the desk and his EMR is down"
	next, _, err := o.a.StartEmergency(t.Context(), token, reason, 0)
	if err != nil {
		t.Fatal(err)
	}
	o.a.SignIn(t.Context(), "a password typed as a name", "wrong wrong wrong", "here")
	o.close()
	b, err := os.ReadFile(o.file())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range o.events {
		b = append(b, e.Code+e.Account+e.Target+e.Address...)
	}
	for _, secret := range []string{code, strings.ReplaceAll(code, "-", ""), ownerPassword, "four words apart counter",
		token, next, "Canary", "typed as a name"} {
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("%q is in the file or the journal in clear", secret)
		}
	}
}

// TestWords: each error has a sentence, and so has one that wraps it.
func TestWords(t *testing.T) {
	for _, err := range []error{access.ErrWrong, access.ErrBadCode, access.ErrMissing, access.ErrLastOwner,
		access.ErrShortPassword, access.ErrSlotStays, errors.Join(errors.New("x"), access.ErrStepUp)} {
		if w := access.Words(err); !strings.HasSuffix(w, ".") {
			t.Errorf("Words(%v) = %q", err, w)
		}
	}
	if w := access.Words(&access.LimitError{Wait: 90e9}); w != "Too many wrong attempts. Please wait 90 seconds and try again." {
		t.Errorf("Words of a limit = %q", w)
	}
	if w := access.Words(errors.New("other")); w != "" {
		t.Errorf("Words of a stranger = %q", w)
	}
}
