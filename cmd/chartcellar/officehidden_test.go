package main

import (
	"context"
	"strings"
	"testing"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
)

// TestHideIsTold: who is hidden on a page is told of to the owners by mail, without who it
// is and why; what was refused is told to nobody.
func TestHideIsTold(t *testing.T) {
	box := newLetterbox(t)
	i := newDaemonTest(t, "--mail-to", "owner@practice.example", "--smtp", box.addr, "--smtp-plain")
	i.serving(func(ctx context.Context) {
		i.pull(ctx)
		o := &office{e: i.e, d: i.d, m: i.d.m}
		if err := o.openRoom(); err != nil {
			t.Fatal(err)
		}
		doctor := viewer.Actor{Account: "dr.stone", Charts: true, Sensitive: true, Address: "127.0.0.1", Request: "AAAA"}
		ref := o.Refer("emr", "Patient/pat-1")
		told := func() string {
			i.d.alarm.look(ctx)
			return strings.Join(box.take(), "\n")
		}
		told()
		run, err := i.d.m.Begin(ctx, store.RunSpec{Source: "emr", Kind: "sync"})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Hide(ctx, doctor, ref, "sent by mistake"); err != viewer.ErrBusy {
			t.Errorf("during a run: %v", err)
		}
		run.Abort()
		if mail := told(); strings.Contains(mail, "sealed") {
			t.Errorf("told of what was refused: %s", mail)
		}
		for _, step := range []struct {
			do   func(context.Context, viewer.Actor, viewer.Ref, string) error
			want string
		}{{o.Hide, "dr.stone sealed a patient"}, {o.Unhide, "dr.stone took the seal of a patient off"}} {
			if err := step.do(ctx, doctor, ref, "Canary mistake"); err != nil {
				t.Fatal(err)
			}
			mail := told()
			if !strings.Contains(mail, step.want) || strings.Contains(mail, "Canary") || strings.Contains(mail, "pat-1") {
				t.Errorf("told: %s, want %q", mail, step.want)
			}
		}
	})
}
