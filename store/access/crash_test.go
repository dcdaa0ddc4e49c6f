package access_test

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"chartcellar/store/access"
	"chartcellar/store/disk"
	"chartcellar/store/storetest"
)

// A day is what an office does; each step can be done again after a crash.
func (o *office) day(acked map[string]bool) error {
	ctx := o.t.Context()
	a, err := access.Open(o.options())
	if err != nil {
		return err
	}
	o.a = a
	ok, err := a.HasOwner()
	if err != nil {
		return err
	}
	if !ok {
		code, _, err := a.NewSetupCode()
		if err != nil {
			return err
		}
		if _, err := a.SetUp(ctx, "here", access.FirstOwner{Code: code, Name: "olivia", Password: ownerPassword}); err != nil {
			return err
		}
	}
	acked["owner"] = true
	token, _, err := a.SignIn(ctx, "olivia", ownerPassword, "here")
	if err != nil {
		return err
	}
	if err := a.CloseSlots(); err != nil {
		return err
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"doctor", func() error { return o.create(token, "doris", access.Doctor) }},
		{"IT", func() error { return o.create(token, "ivan", access.IT) }},
		{"manager", func() error { return o.create(token, "mark", access.Manager) }},
		{"charts", func() error {
			if o.account("mark").Grants != 0 {
				return nil
			}
			_, err := a.Change(ctx, token, o.account("mark").ID, access.Change{Grants: new(access.GrantCharts), Password: "given with the charts"})
			return err
		}},
		{"disabled", func() error {
			if o.account("doris").Disabled {
				return nil
			}
			_, err := a.Disable(ctx, token, o.account("doris").ID)
			return err
		}},
		{"reset", func() error {
			_, err := a.ResetPassword(ctx, token, o.account("ivan").ID, "given another time")
			return err
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		acked[s.name] = true
	}
	return a.CloseSlots()
}

func (o *office) create(token, name string, role access.Role) error {
	_, err := o.a.Create(o.t.Context(), token, access.NewAccount{Name: name, Role: role, Password: "given for the first day"})
	if errors.Is(err, access.ErrNameTaken) {
		return nil
	}
	return err
}

// TestBreakingDisk: each step of the office's day breaks, in every way: it did
// not happen, it happened and was not seen, the disk was full, the power went.
// What was acknowledged is there, nothing happened without a journal line, and the
// day can be done again to its end.
func TestBreakingDisk(t *testing.T) {
	for how, name := range map[storetest.How]string{storetest.Fails: "fails", storetest.Happens: "happens all the same",
		storetest.Full: "is full", storetest.PowerCut: "loses power"} {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				d := storetest.New(n, how)
				o := newOffice(t)
				o.fs = d
				acked := map[string]bool{}
				err := o.day(acked)
				if o.a != nil {
					o.a.Close() // lets go of the file; writes nothing
				}
				if !d.Struck() {
					want(t, "a day on a good disk", err, nil)
				}
				if d.Ops() < n {
					if n < 40 {
						t.Errorf("there were only %d steps", n)
					}
					return
				}
				o.fs = disk.OS{}
				o.healed(fmt.Sprintf("step %d %s", n, name), acked)
			}
		})
	}
}

// healed opens the office on a good disk and checks it.
func (o *office) healed(what string, acked map[string]bool) {
	o.t.Helper()
	a, err := access.Open(o.options())
	if err != nil {
		o.t.Fatalf("%s: Open = %v", what, err)
	}
	list, err := a.Accounts()
	if err != nil {
		o.t.Fatal(err)
	}
	told := map[string]bool{}
	for _, e := range o.events {
		told[e.Code+" "+e.Target] = true
	}
	there := map[string]bool{}
	for _, acc := range list {
		there[acc.Name] = true
		if !told[access.CodeCreate+" "+acc.Name] && !told[access.CodeSetup+" "+acc.Name] {
			o.t.Errorf("%s: %s is there without a journal line", what, acc.Name)
		}
		if acc.Disabled && !told[access.CodeDisable+" "+acc.Name] || acc.Grants != 0 && !told[access.CodeChange+" "+acc.Name] {
			o.t.Errorf("%s: %s was changed without a journal line", what, acc.Name)
		}
		if acc.Name == "doris" && acked["disabled"] != acc.Disabled && acked["disabled"] {
			o.t.Errorf("%s: the doctor is not disabled", what)
		}
	}
	for step, name := range map[string]string{"owner": "olivia", "doctor": "doris", "IT": "ivan", "manager": "mark"} {
		if acked[step] && !there[name] {
			o.t.Errorf("%s: %s was acknowledged and is gone", what, name)
		}
	}
	a.Close()
	if err := o.day(maps.Clone(acked)); err != nil {
		o.t.Fatalf("%s: the day done again = %v", what, err)
	}
	defer o.close()
	if live, err := o.a.LiveSlots(); err != nil || len(live) > 0 {
		o.t.Errorf("%s: LiveSlots = %v, %v", what, live, err)
	}
	open := 0
	for _, p := range o.slots {
		if p == ownerPassword || strings.HasPrefix(p, "given") {
			open++
		}
	}
	if open != 2 { // the owner's and the manager's
		o.t.Errorf("%s: %d slots open, want 2", what, open)
	}
	o.in("ivan", "given another time")
	o.in("mark", "given with the charts")
}

// TestKilled ends a process that makes accounts with kill -9, over and over: the
// accounts that it told of are there, and the file is whole.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("CHARTCELLAR_ACCESS_CHILD"); dir != "" {
		child(t, dir)
		return
	}
	o := owned(t)
	o.close()
	r := rand.New(rand.NewPCG(3, 4))
	told := []string{}
	for loop := range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$", "-test.v")
		cmd.Env = append(os.Environ(), "CHARTCELLAR_ACCESS_CHILD="+o.dir,
			fmt.Sprintf("CHARTCELLAR_ACCESS_SLOTS=%s", slices.Collect(maps.Keys(o.slots))[0]),
			fmt.Sprintf("CHARTCELLAR_ACCESS_LOOP=%d", loop), fmt.Sprintf("CHARTCELLAR_ACCESS_MARK=%x", o.mark))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := 3 + r.IntN(40)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "made "); ok {
				told = append(told, name)
				if n++; n == stop {
					time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, func() { cmd.Process.Kill() })
				}
			}
		}
		cmd.Wait() // killed
		o.open()
		list, err := o.a.Accounts()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range told {
			if !slices.ContainsFunc(list, func(a access.Account) bool { return a.Name == name }) {
				t.Fatalf("loop %d: %s was told of and is gone", loop, name)
			}
		}
		o.close()
	}
	if len(told) < 15 {
		t.Errorf("only %d accounts were made", len(told))
	}
}

// child makes accounts until it is killed.
func child(t *testing.T, dir string) {
	o := newOffice(t)
	mark, err := hex.DecodeString(os.Getenv("CHARTCELLAR_ACCESS_MARK"))
	if err != nil {
		t.Fatal(err)
	}
	o.dir, o.mark = dir, mark
	o.slots[os.Getenv("CHARTCELLAR_ACCESS_SLOTS")] = ownerPassword
	o.open()
	token := o.in("olivia", ownerPassword)
	for i := 0; ; i++ {
		name := fmt.Sprintf("tech %s x %d", os.Getenv("CHARTCELLAR_ACCESS_LOOP"), i+20)
		err := o.create(token, name, access.IT)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("made", name)
	}
}
