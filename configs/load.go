package configs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// Source is where settings come from, in the order of precedence from the
// least: the file, the environment, the command line.
type Source struct {
	File  string            // path of the configuration file; empty for none
	Env   []string          // variables in the form of os.Environ
	Flags map[string]string // values given on the command line, by dotted key
}

// Loaded is a complete and valid configuration that knows where each value
// comes from.
type Loaded struct {
	Config Config
	Origin map[string]string // by dotted key: flag --addr, env SOCIALCTL_X, path:line or default
}

// Entry is one setting as it is shown to people, with secrets masked.
type Entry struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
	Doc    string `json:"doc"`
}

// originDefault is the origin of what nobody has set.
const originDefault = "default"

// Load reads every source and returns the settings in force: a flag before an
// environment variable before the file before the default. The error is a
// *ConfigError with everything that is wrong, in all of the sources.
func Load(src Source) (Loaded, error) {
	var data []byte
	if src.File != "" {
		var err error
		if data, err = readBounded(src.File); err != nil {
			problems := &complaints{}
			problems.add("", "", fmt.Sprintf("reading the configuration file: %v", err))
			return Loaded{}, problems.err()
		}
	}
	return load(src, data)
}

func load(src Source, data []byte) (Loaded, error) {
	problems := &complaints{}
	doc := parseFile(src.File, data, problems)
	env := readEnvironment(src.Env, problems)
	flags := readFlags(src.Flags, problems)

	loaded, err := merge(doc.names, doc.found, env, flags)
	if err != nil {
		return Loaded{}, err
	}
	loaded.readSecretFiles(problems)
	problems.addValidation(loaded)
	if err := problems.err(); err != nil {
		return Loaded{}, err
	}
	return loaded, nil
}

// merge lets viper lay the sources over each other and over the defaults.
func merge(names []string, file, env, flags layer) (Loaded, error) {
	loaded := Loaded{Origin: map[string]string{}}
	v := viper.New()
	for _, s := range declaredFor(databasesIn(names, file, env, flags)) {
		if value, err := s.parse(s.Default); err == nil || s.Default == "" {
			v.SetDefault(s.Key, value)
		}
		loaded.Origin[s.Key] = originDefault
	}
	// The environment is merged as a second file would be: viper's own reading
	// knows only the process's variables and cannot name an unknown one.
	for _, l := range []layer{file, env} {
		if err := v.MergeConfigMap(l.tree()); err != nil {
			return Loaded{}, fmt.Errorf("merge settings: %w", err)
		}
	}
	for key, g := range flags {
		v.Set(key, g.value)
	}
	for _, l := range []layer{file, env, flags} {
		for key, g := range l {
			loaded.Origin[key] = g.where
		}
	}
	strict := func(c *mapstructure.DecoderConfig) { c.ErrorUnused, c.WeaklyTypedInput = true, false }
	if err := v.Unmarshal(&loaded.Config, strict); err != nil {
		return Loaded{}, fmt.Errorf("merge settings: %w", err)
	}
	return loaded, nil
}

// databasesIn returns the names of the databases that any source speaks of.
func databasesIn(names []string, layers ...layer) []string {
	for _, l := range layers {
		for key := range l {
			if parts := strings.Split(key, "."); parts[0] == "databases" {
				names = append(names, parts[1])
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// declaredFor lists the settings with those of the named databases.
func declaredFor(names []string) []Setting {
	c := Config{Databases: map[string]Database{}}
	for _, name := range names {
		c.Databases[name] = Database{}
	}
	var all []Setting
	c.visit(func(f field) { all = append(all, f.Setting) })
	return all
}

// tree turns dotted keys into the nested form that viper merges.
func (l layer) tree() map[string]any {
	root := map[string]any{}
	for key, g := range l {
		parts := strings.Split(key, ".")
		node := root
		for _, part := range parts[:len(parts)-1] {
			next, ok := node[part].(map[string]any)
			if !ok {
				next = map[string]any{}
				node[part] = next
			}
			node = next
		}
		node[parts[len(parts)-1]] = g.value
	}
	return root
}

// readSecretFiles fills each secret that is given as a file. The path stays
// where it is, so that it can be shown.
func (l *Loaded) readSecretFiles(problems *complaints) {
	paths := map[string]string{}
	l.Config.visit(func(f field) {
		if strings.HasSuffix(f.Key, "_file") {
			paths[strings.TrimSuffix(f.Key, "_file")] = f.value.String()
		}
	})
	l.Config.visit(func(f field) {
		path := paths[f.Key]
		if path == "" {
			return
		}
		origin := l.Origin[f.Key+"_file"]
		if f.value.String() != "" {
			problems.add(origin, f.Key, fmt.Sprintf("given twice, here as a file and in %s", l.Origin[f.Key]))
			return
		}
		text, err := readSecret(path)
		if err != nil {
			problems.add(origin, f.Key, err.Error())
			return
		}
		f.set(text)
		l.Origin[f.Key] = origin
	})
}

// readSecret trims one line break from the end, which editors and echo add.
func readSecret(path string) (string, error) {
	data, err := readBounded(path)
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", errors.New(path + " is empty")
	}
	return text, nil
}

// Entries returns every setting in force in the order of its declaration, with
// secrets masked.
func (l Loaded) Entries() []Entry {
	var entries []Entry
	l.Config.visit(func(f field) {
		origin := l.Origin[f.Key]
		if origin == "" {
			origin = originDefault
		}
		entries = append(entries, Entry{Key: f.Key, Value: f.shown(f.value.Interface()), Origin: origin, Doc: f.Doc})
	})
	return entries
}
