package config

import (
	"reflect"
	"slices"
)

// Changed names the settings in which two files differ, in the order of the struct:
// "zone", "alerts mail_to", "source main pull"; a source, a copy or a holding that came or
// went is "source main", "copy usb" or "holding billing".
func Changed(a, b Settings) []string {
	list := differ("", reflect.ValueOf(a), reflect.ValueOf(b))
	was, is := a.named(), b.named()
	for _, one := range was {
		i := slices.IndexFunc(is, func(n named) bool { return n.section == one.section })
		if i < 0 {
			list = append(list, one.section)
			continue
		}
		list = append(list, differ(one.section+" ", one.value, is[i].value)...)
	}
	for _, one := range is {
		if !slices.ContainsFunc(was, func(n named) bool { return n.section == one.section }) {
			list = append(list, one.section)
		}
	}
	return list
}

// A named is one of several sections of a kind.
type named struct {
	section string // "source main"
	value   reflect.Value
}

// named are the sections that have names.
func (s Settings) named() (list []named) {
	for _, src := range s.Sources {
		list = append(list, named{"source " + src.Name, reflect.ValueOf(src)})
	}
	for _, c := range s.Copies {
		list = append(list, named{"copy " + c.Name, reflect.ValueOf(c)})
	}
	for _, h := range s.Holdings {
		list = append(list, named{"holding " + h.Name, reflect.ValueOf(h)})
	}
	return list
}

// differ compares the fields of two structs; sections are gone into, those with names are not.
func differ(prefix string, a, b reflect.Value) (list []string) {
	for i := range a.NumField() {
		name := a.Type().Field(i).Tag.Get("toml")
		x, y := a.Field(i), b.Field(i)
		switch {
		case name == "source" || name == "copy" || name == "holding":
		case x.Type() == reflect.TypeFor[Alerts]():
			list = append(list, differ(prefix+name+" ", x, y)...)
		case x.Kind() == reflect.Slice:
			if !slices.Equal(strs(x), strs(y)) {
				list = append(list, prefix+name)
			}
		case !reflect.DeepEqual(x.Interface(), y.Interface()):
			list = append(list, prefix+name)
		}
	}
	return list
}

// strs is a list of words; none and an empty one are the same.
func strs(v reflect.Value) []string {
	list, _ := v.Interface().([]string)
	return list
}
