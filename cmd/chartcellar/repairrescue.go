package main

import (
	"context"
	"errors"

	"chartcellar/store"
	"chartcellar/store/keys"
)

// unopened reports whether an error may mean that the mirror cannot be opened because
// files of it are damaged.
func unopened(err error) bool {
	for _, is := range []error{store.ErrNeedsUnlock, store.ErrDamaged, store.ErrNoMirror, keys.ErrDamaged, keys.ErrForged} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// rescue mends a mirror that cannot be opened, by what is signed in it. If nothing of
// that is wrong, the cause of before is the error.
func (e *env) rescue(ctx context.Context, o repairOrder, cause error) error {
	s, err := e.settings()
	if err != nil {
		return err
	}
	box, err := e.readBox(s)
	if err != nil {
		return cause
	}
	r, err := store.OpenRescue(store.Options{Dir: s.Data, Box: box, FS: e.disk, Doing: "repair"})
	if err != nil {
		return cause
	}
	defer r.Close() // only a lock
	givers, err := e.givers(ctx, s, nil, o.from)
	for _, g := range givers {
		defer g.close()
	}
	if err != nil {
		return err
	}
	rep := repairReport{DryRun: o.dryRun, Deep: true, Files: []mending{}, Harm: &store.Harm{}}
	if err := e.rescueAll(ctx, r, givers, &rep); err != nil {
		return err
	}
	switch {
	case len(rep.Files) == 0:
		return cause
	case e.json:
		err = e.printJSON(rep)
	default:
		e.printMended(rep)
		e.printf("The mirror could not be opened, so that this went by what is signed in it, and is not in its log.\n")
		if rep.Left > 0 {
			e.printf("%s damaged or missing. Keep the damaged files.\n", several(rep.Left, "file is still", "files are still"))
		} else {
			e.printf("The damaged files are kept in the folder quarantine.\nNext: chartcellar index rebuild, then: chartcellar repair --deep\n")
		}
	}
	if err == nil && rep.Left > 0 {
		return quiet(exitDamage)
	}
	return err
}

// rescueAll mends statements first, then checkpoints, then what they name: each round
// shows what the next can go by.
func (e *env) rescueAll(ctx context.Context, r *store.Rescue, givers []*giver, rep *repairReport) error {
	for {
		broken, err := r.Broken(ctx)
		if err != nil {
			return err
		}
		mended := false
		for _, b := range broken {
			one, err := mend(ctx, r, b, givers, rep.DryRun)
			if err != nil {
				return err
			}
			rep.Files = append(rep.Files, one)
			if one.From == "" || rep.DryRun {
				rep.Left++
			}
			mended = mended || one.From != ""
		}
		if !mended || rep.Left > 0 || rep.DryRun {
			return nil
		}
	}
}
