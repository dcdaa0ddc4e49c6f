package index

import (
	bolt "go.etcd.io/bbolt"
)

// Mark sets the flags New, Stale and Duplicate of all versions of one record,
// which are given in the order of their commits. It is the one rule for what
// two lines of one record in one run mean (P73): equal ones are one version;
// of different ones the later counts, unless it says itself that it is older.
func Mark(list []Entry) {
	seen := false
	winner := -1 // of the run of the entry before
	for i := range list {
		e := &list[i]
		e.Flags &^= New | Stale | Duplicate
		if e.Flags&Subsetted != 0 {
			continue
		}
		if winner >= 0 && list[winner].Run == e.Run {
			w := &list[winner]
			switch {
			case w.Fingerprint == e.Fingerprint && w.Flags&Tombstone == e.Flags&Tombstone:
				e.Flags |= Duplicate
				continue
			case e.Updated != 0 && e.Updated < w.Updated:
				e.Flags |= Stale
				continue
			}
		}
		if !seen {
			e.Flags |= New
		}
		seen, winner = true, i
	}
}

// currentOf returns which of the versions of one record counts, given in order and
// marked; -1 for none.
func currentOf(list []Entry, states States) int {
	for i := len(list) - 1; i >= 0; i-- {
		if states.Counts(&list[i]) {
			return i
		}
	}
	return -1
}

// waits reports whether version i of a record, of which current counts, waits for
// the state of its run.
func (s States) waits(list []Entry, i, current int) bool {
	e := &list[i]
	if i <= current || e.Flags&aside != 0 {
		return false
	}
	of := s.Of(e)
	return of == Underway || of == Held
}

// Fold moves the entries of runs that were decided out of the waiting list,
// in small transactions: at most max records in each call. It returns how many
// records it has still to look at; zero means that nothing waits any more
// but what is open or held.
func (d *DB) Fold(max int) (left int, err error) {
	d.write.Lock()
	defer d.write.Unlock()
	states := d.States()
	keys, left, err := d.foldable(states, max)
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	err = d.update(func(tx *bolt.Tx) error {
		for _, k := range keys {
			if err := d.foldKey(tx, k, states); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return left, err
	}
	d.stateMu.Lock()
	defer d.stateMu.Unlock()
	return left, d.view(func(tx *bolt.Tx) error { d.refresh(tx); return nil })
}

// foldable lists records with a waiting entry whose run is decided.
func (d *DB) foldable(states States, max int) (keys []Key, left int, err error) {
	err = d.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bPending).ForEach(func(k, v []byte) error {
			value, err := checked(k, v)
			if err != nil {
				return err
			}
			e, err := d.parseEntry(k, value)
			if err != nil {
				return err
			}
			if s := states.Of(&e); s == Underway || s == Held {
				return nil
			}
			if len(keys) > 0 && keys[len(keys)-1] == e.Key {
				return nil
			}
			if len(keys) == max {
				left++
				return nil
			}
			keys = append(keys, e.Key)
			return nil
		})
	})
	return keys, left, err
}

// EachWaiting calls fn for every version that waits because its run holds it, and
// that no newer one which counts has overtaken.
func (d *DB) EachWaiting(fn func(*Entry) error) error {
	states := d.States()
	return d.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bPending).ForEach(func(k, v []byte) error {
			value, err := checked(k, v)
			if err != nil {
				return err
			}
			e, err := d.parseEntry(k, value)
			if err != nil || states.Of(&e) != Held {
				return err
			}
			return fn(&e)
		})
	})
}

func (d *DB) foldKey(tx *bolt.Tx, k Key, states States) error {
	list, err := d.newer(entriesIn(tx), k, true, nil, nil)
	if err != nil {
		return err
	}
	current := currentOf(list, states)
	for i := range list {
		e, wait := &list[i], states.waits(list, i, current)
		if !wait {
			if err := tx.Bucket(bPending).Delete(versionKey(e)); err != nil {
				return err
			}
		}
		switch {
		case i == current:
			err = d.putEntry(tx.Bucket(bCurrent), e.Key[:], e)
		case !wait:
			err = d.putEntry(tx.Bucket(bVersions), versionKey(e), e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
