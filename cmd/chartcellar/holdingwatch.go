package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store"
	"chartcellar/store/holding"
)

// holdingsLane is the lane of all holdings: their folders are looked at one after the
// other.
const holdingsLane = "holdings"

// cannotList is what is wrong with a file or folder that cannot be looked at.
const cannotList = "this user may not look at it, or the disk does not let us"

// openOne opens one file for keeping: its folder, and how it looks.
func openOne(name string) (fs.FS, holding.File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, holding.File{}, err
	}
	return os.DirFS(filepath.Dir(name)), holding.File{Path: filepath.Base(name), Size: info.Size(), Modified: info.ModTime()}, nil
}

// lookAt looks at the folder of a holding once and keeps what has stopped growing.
func (e *env) lookAt(ctx context.Context, m *store.Mirror, h config.Holding, w *holding.Watcher, by string) (*keptResult, error) {
	k, err := e.newKeeping(m, h, whereOfHolding(h))
	if err != nil {
		return nil, err
	}
	fsys, c, l, err := openFolder(ctx, m, h)
	if err != nil {
		return nil, err
	}
	defer c.Close() // read only
	fresh := holding.Fresh(l.Files, k.kept)
	still, growing := w.Look(e.now(), fresh, h.Settle.Duration)
	k.result.Known, k.result.Growing = len(l.Files)-len(fresh), growing
	k.result.Arriving, k.result.Links = l.Arriving, l.Links
	for _, name := range l.Skipped {
		k.result.failed(name, cannotList)
	}
	return k.result, k.all(ctx, "holding.keep", by, func() error {
		err := k.files(ctx, fsys, still)
		switch {
		case ofPlace(err):
			return folderError(h, err)
		case err != nil:
			return err
		}
		return k.describe(ctx, h)
	})
}

// describe keeps the document that describes a holding's format, if it is not kept as it
// is.
func (k *keeping) describe(ctx context.Context, h config.Holding) error {
	if h.FormatDocument == "" || len(k.kept) == 0 { // there is nothing yet that it describes
		return nil
	}
	_, f, err := openOne(h.FormatDocument)
	if err != nil {
		k.result.failed(h.FormatDocument, (&sourceError{err}).words())
		return nil
	}
	f.Path = holding.FormatFolder + "/" + f.Path
	if len(holding.Fresh([]holding.File{f}, k.kept)) == 0 {
		return nil
	}
	return k.format(ctx, h.FormatDocument)
}

// holdingWatch looks at the folders by hand: twice, with the time between that a file
// must have stopped growing.
func (e *env) holdingWatch(ctx context.Context, name string) error {
	return e.withMirror(ctx, access{doing: "holding watch", write: true}, func(ctx context.Context, s config.Settings, m *store.Mirror) error {
		list := s.Holdings
		if h, ok := s.Holding(name); ok {
			list = []config.Holding{h}
		} else if name != "" {
			return usage("no folder is watched under the name " + name + "; see: chartcellar holding list")
		}
		if len(list) == 0 {
			return usage("no folder is watched yet; add one: chartcellar connect NAME --files FOLDER")
		}
		var worst error
		for _, h := range list {
			r, err := e.lookTwice(ctx, m, h)
			if err = e.keptWords(r, err); err == nil {
				continue
			}
			if ctx.Err() != nil {
				return err
			}
			if worst != nil {
				explain(worst).print(e) // the last is printed at the end
			}
			worst = err
		}
		return worst
	})
}

func (e *env) lookTwice(ctx context.Context, m *store.Mirror, h config.Holding) (*keptResult, error) {
	w := &holding.Watcher{}
	r, err := e.lookAt(ctx, m, h, w, "owner")
	if err != nil || r.Growing == 0 {
		return r, err
	}
	select {
	case <-ctx.Done():
		return r, ctx.Err()
	case <-time.After(h.Settle.Duration):
	}
	return e.lookAt(ctx, m, h, w, "owner")
}

// watcherOf is what the daemon remembers of a holding's folder.
func (d *daemon) watcherOf(name string) *holding.Watcher {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settling == nil {
		d.settling = map[string]*holding.Watcher{}
	}
	if d.settling[name] == nil {
		d.settling[name] = &holding.Watcher{}
	}
	return d.settling[name]
}

// keepFiles is the job of a holding: it looks at its folder. What still grows is looked
// at again soon.
func (d *daemon) keepFiles(ctx context.Context, job schedule.Job) (schedule.Outcome, error) {
	s := d.settings()
	h, ok := s.Holding(job.Source)
	if !ok {
		return schedule.Outcome{}, fmt.Errorf("the settings have no holding %q", job.Source)
	}
	r, err := d.e.lookAt(ctx, d.m, h, d.watcherOf(h.Name), "schedule")
	now := time.Now()
	switch {
	case errors.Is(err, store.ErrBusy):
		return schedule.Outcome{Again: now.Add(time.Minute)}, err
	case err != nil:
		return schedule.Outcome{}, err
	case len(r.Failed) > 0:
		return schedule.Outcome{}, fmt.Errorf("%d %w", len(r.Failed), errUnread)
	}
	out := schedule.Outcome{Success: true}
	if r.Growing > 0 {
		out.Again = now.Add(max(h.Settle.Duration, time.Second))
	}
	return out, nil
}
