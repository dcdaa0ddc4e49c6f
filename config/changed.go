package config

import (
	"reflect"
	"slices"
)

// Changed names the settings in which two files differ, in the order of the struct:
// "zone", "alerts mail_to", "source main pull"; a source that came or went is
// "source main".
func Changed(a, b Settings) []string {
	list := differ("", reflect.ValueOf(a), reflect.ValueOf(b))
	for _, src := range a.Sources {
		other, err := b.Source(src.Name)
		if err != nil {
			list = append(list, "source "+src.Name)
			continue
		}
		list = append(list, differ("source "+src.Name+" ", reflect.ValueOf(src), reflect.ValueOf(other))...)
	}
	for _, src := range b.Sources {
		if _, err := a.Source(src.Name); err != nil {
			list = append(list, "source "+src.Name)
		}
	}
	return list
}

// differ compares the fields of two structs; sections are gone into, sources are not.
func differ(prefix string, a, b reflect.Value) (list []string) {
	for i := range a.NumField() {
		name := a.Type().Field(i).Tag.Get("toml")
		x, y := a.Field(i), b.Field(i)
		switch {
		case name == "source":
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
