package access_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"chartcellar/store/access"
)

func TestSetUp(t *testing.T) {
	first := access.FirstOwner{Name: "olivia", Password: ownerPassword}
	tests := []struct {
		name string
		do   func(o *office, code string, f access.FirstOwner) access.FirstOwner
		want error
	}{
		{"as it is printed", nil, nil},
		{"typed in small letters without hyphens", func(_ *office, code string, f access.FirstOwner) access.FirstOwner {
			f.Code = strings.ToLower(strings.ReplaceAll(code, "-", " "))
			return f
		}, nil},
		{"a second before its end", func(o *office, _ string, f access.FirstOwner) access.FirstOwner {
			o.pass(access.SetupTime - time.Second)
			return f
		}, nil},
		{"at its end", func(o *office, _ string, f access.FirstOwner) access.FirstOwner {
			o.pass(access.SetupTime)
			return f
		}, access.ErrBadCode},
		{"with the clock set back", func(o *office, _ string, f access.FirstOwner) access.FirstOwner {
			o.pass(-time.Hour)
			return f
		}, access.ErrBadCode},
		{"a newer code was printed", func(o *office, _ string, f access.FirstOwner) access.FirstOwner {
			o.a.NewSetupCode()
			return f
		}, access.ErrBadCode},
		{"wrong in one place", func(_ *office, code string, f access.FirstOwner) access.FirstOwner {
			last := "0"
			if strings.HasSuffix(code, "0") {
				last = "2"
			}
			f.Code = code[:len(code)-1] + last
			return f
		}, access.ErrBadCode},
		{"empty", func(_ *office, _ string, f access.FirstOwner) access.FirstOwner { f.Code = ""; return f }, access.ErrBadCode},
		{"after a restart", func(o *office, _ string, f access.FirstOwner) access.FirstOwner {
			o.close()
			o.open()
			return f
		}, nil},
		{"with a short password", func(_ *office, _ string, f access.FirstOwner) access.FirstOwner { f.Password = "short"; return f }, access.ErrShortPassword},
		{"with a bad name", func(_ *office, _ string, f access.FirstOwner) access.FirstOwner { f.Name = "\u202e"; return f }, access.ErrBadName},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t).open()
			code, _, err := o.a.NewSetupCode()
			if err != nil {
				t.Fatal(err)
			}
			f := first
			f.Code = code
			if tt.do != nil {
				f = tt.do(o, code, f)
			}
			_, err = o.a.SetUp(t.Context(), "here", f)
			want(t, "SetUp", err, tt.want)
			ok, err := o.a.HasOwner()
			if ok != (tt.want == nil) || err != nil {
				t.Errorf("HasOwner = %v, %v", ok, err)
			}
			if ok != (o.mark != nil) {
				t.Errorf("the mark is %x", o.mark)
			}
			if !ok {
				return
			}
			_, err = o.a.SetUp(t.Context(), "here", f)
			want(t, "SetUp with a used code", err, access.ErrHasOwner)
			_, _, err = o.a.NewSetupCode()
			want(t, "NewSetupCode", err, access.ErrHasOwner)
			o.in("olivia", ownerPassword)
		})
	}
}

// TestTwoFirstOwners: of many posts at once one makes the owner.
func TestTwoFirstOwners(t *testing.T) {
	o := newOffice(t).open()
	code, _, err := o.a.NewSetupCode()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = o.a.SetUp(t.Context(), "here", access.FirstOwner{Code: code, Name: fmt.Sprint("owner ", "abcdefgh"[i:i+1]), Password: ownerPassword})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, access.ErrHasOwner) {
			t.Errorf("SetUp = %v", err)
		}
	}
	if list, err := o.a.Accounts(); won != 1 || len(list) != 1 || err != nil {
		t.Errorf("%d won, %d accounts, %v", won, len(list), err)
	}
	if len(o.slots) != 1 {
		t.Errorf("%d slots, want 1", len(o.slots))
	}
}

// TestGuessedCodes are slowed down.
func TestGuessedCodes(t *testing.T) {
	o := newOffice(t).open()
	if _, _, err := o.a.NewSetupCode(); err != nil {
		t.Fatal(err)
	}
	var err error
	for range 11 {
		_, err = o.a.SetUp(t.Context(), "here", access.FirstOwner{Code: "AAAAA-AAAAA-AAAAA-AAAAA"})
	}
	want(t, "the 11th guess", err, access.ErrTooMany)
}

// TestRescue: whoever has the sheet gets a code though there is an owner; the
// other accounts stay.
func TestRescue(t *testing.T) {
	o := staffed(t)
	_, _, err := o.a.Rescue("another key")
	want(t, "Rescue with another key", err, access.ErrNoRecovery)
	code, _, err := o.a.Rescue(recoveryKey)
	want(t, "Rescue", err, nil)
	f := access.FirstOwner{Code: code, Name: "olivia", Password: "quite another password"}
	_, err = o.a.SetUp(t.Context(), "here", f)
	want(t, "SetUp with the name of an owner", err, access.ErrNameTaken)
	f.Name = "oscar"
	_, err = o.a.SetUp(t.Context(), "here", f)
	want(t, "SetUp", err, nil)
	f.Name = "orson"
	_, err = o.a.SetUp(t.Context(), "here", f)
	want(t, "SetUp with the used code", err, access.ErrHasOwner)
	o.in("olivia", ownerPassword)
	_, err = o.a.Disable(t.Context(), o.in("oscar", "quite another password"), o.account("olivia").ID)
	want(t, "Disable the owner who is gone", err, nil)
	for range 11 {
		_, _, err = o.a.Rescue("another key")
	}
	want(t, "the 11th guess of a key", err, access.ErrTooMany)
}

func TestEmergency(t *testing.T) {
	o := staffed(t)
	o.person("stan", access.Staff, 0, "four words apart counter")
	const reason = "The EMR is down and she is bleeding"
	for name, password := range map[string]string{"ivan": itPassword, "mark": managerPassword, "doris": doctorPassword} {
		_, _, err := o.a.StartEmergency(t.Context(), o.in(name, password), reason, 0)
		want(t, "StartEmergency by "+name, err, access.ErrDenied)
	}
	stan := o.in("stan", "four words apart counter")
	_, _, err := o.a.StartEmergency(t.Context(), stan, "  because   I  want  ", 0)
	want(t, "StartEmergency for a short reason", err, access.ErrShortReason)
	_, _, err = o.a.StartEmergency(t.Context(), stan, reason, access.MaxEmergency+1)
	want(t, "StartEmergency for too long", err, access.ErrDuration)
	_, err = o.a.Allow(stan, access.SeeSensitive)
	want(t, "Allow before", err, access.ErrDenied)
	next, s, err := o.a.StartEmergency(t.Context(), stan, reason, 0)
	want(t, "StartEmergency", err, nil)
	if got := s.Until.Sub(o.now); got != time.Hour {
		t.Errorf("it lasts %s, want 1h", got)
	}
	_, err = o.a.Use(stan)
	want(t, "Use of the old token", err, access.ErrNoSession)
	for _, c := range []access.Capability{access.Export, access.DecideHeld, access.SeeAccessLog, access.ManageKeys} {
		_, err = o.a.Allow(next, c)
		want(t, "Allow to "+string(c), err, access.ErrDenied)
	}
	for range 6 {
		o.pass(9 * time.Minute)
		_, err = o.a.Allow(next, access.SeeSensitive)
		want(t, "Allow during", err, nil)
	}
	o.pass(6 * time.Minute) // an hour in all
	_, err = o.a.Allow(next, access.SeeSensitive)
	want(t, "Allow after an hour", err, access.ErrDenied)

	if n, err := o.a.Unreviewed(); n != 1 || err != nil {
		t.Errorf("Unreviewed = %d, %v", n, err)
	}
	doris := o.in("doris", doctorPassword)
	list, err := o.a.Emergencies(doris, true)
	if err != nil || len(list) != 1 || list[0].Reason != reason || list[0].Name != "stan" {
		t.Fatalf("Emergencies = %+v, %v", list, err)
	}
	want(t, "Review by staff", o.a.Review(next, list[0].ID, ""), access.ErrDenied)
	want(t, "Review", o.a.Review(doris, list[0].ID, "I was there"), nil)
	want(t, "Review again", o.a.Review(doris, list[0].ID, ""), access.ErrNoEmergency)
	want(t, "Review of nothing", o.a.Review(doris, "x", ""), access.ErrNoEmergency)
	list, err = o.a.Emergencies(next, false)
	if err != nil || len(list) != 1 || list[0].ReviewedBy != "doris" || list[0].Remark != "I was there" {
		t.Errorf("Emergencies of one's own = %+v, %v", list, err)
	}
	if list, _ = o.a.Emergencies(o.in("ivan", itPassword), false); len(list) != 0 {
		t.Error("IT sees the emergencies of others")
	}
}

// TestEmergencyEnds early, and nobody reviews his own.
func TestEmergencyEnds(t *testing.T) {
	o := staffed(t)
	acc := o.person("stan", access.Staff, 0, "four words apart counter")
	stan, _, err := o.a.StartEmergency(t.Context(), o.in("stan", "four words apart counter"), "a reason that is long enough", 4*time.Hour)
	want(t, "StartEmergency", err, nil)
	o.pass(time.Minute)
	want(t, "EndEmergency", o.a.EndEmergency(stan), nil)
	_, err = o.a.Allow(stan, access.SeeSensitive)
	want(t, "Allow after the end", err, access.ErrDenied)
	owner := o.in("olivia", ownerPassword)
	_, err = o.a.Change(t.Context(), owner, acc.ID, access.Change{Role: new(access.Doctor)})
	want(t, "Change", err, nil)
	list, err := o.a.Emergencies(owner, true)
	if err != nil || len(list) != 1 || list[0].Until.Sub(list[0].From) != time.Minute {
		t.Fatalf("Emergencies = %+v, %v", list, err)
	}
	want(t, "Review of one's own", o.a.Review(o.in("stan", "four words apart counter"), list[0].ID, ""), access.ErrOwnReview)
	o.close()
	o.open()
	if n, _ := o.a.Unreviewed(); n != 1 {
		t.Error("a restart forgot what is to be reviewed")
	}
}
