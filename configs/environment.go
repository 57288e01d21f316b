package configs

import (
	"regexp"
	"strings"
)

// given is a value that one of the sources gives to a key.
type given struct {
	value any
	where string // file path:line, env NAME or flag --name
}

// layer is what one source gives, by dotted key.
type layer map[string]given

// foreignVariable matches variables with the prefix that are no settings: the
// name of the configuration file, what tests use, and what Kubernetes sets in
// every container for a service that happens to be called socialctl or
// socialctl-redis.
var foreignVariable = regexp.MustCompile(`^SOCIALCTL_(CONFIG$|TEST_)|_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// databaseVariable takes a named database's variable apart. The name in it is
// in upper case, and names are in lower case, so they map one to one.
var databaseVariable = regexp.MustCompile(`^SOCIALCTL_DATABASES_([A-Z][A-Z0-9_]*?)_(DSN|DSN_FILE|MAX_CONNS)$`)

// readEnvironment takes the settings from variables of the form NAME=value. An
// empty value counts as not given, since that is what container tools write for
// something unset.
func readEnvironment(environ []string, problems *complaints) layer {
	found := layer{}
	for _, variable := range environ {
		name, text, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, envPrefix) || text == "" || foreignVariable.MatchString(name) {
			continue
		}
		s, ok := settingOfVariable(name)
		if !ok {
			problems.add("env "+name, "", "unknown variable"+didYouMean(closest(name, variableNames())))
			continue
		}
		found.take(s, text, "env "+name, problems)
	}
	return found
}

func settingOfVariable(name string) (Setting, bool) {
	if m := databaseVariable.FindStringSubmatch(name); m != nil {
		return Lookup(strings.ToLower("databases." + m[1] + "." + m[2]))
	}
	for _, s := range settings {
		if s.Env == name {
			return s, true
		}
	}
	return Setting{}, false
}

func variableNames() []string {
	var names []string
	for _, s := range settings {
		names = append(names, s.Env)
	}
	return names
}

// readFlags takes the settings given on the command line, by dotted key.
func readFlags(flags map[string]string, problems *complaints) layer {
	found := layer{}
	for key, text := range flags {
		s, ok := Lookup(key)
		if !ok {
			problems.add("flag --"+key, key, "unknown setting")
			continue
		}
		found.take(s, text, "flag --"+s.flagName(), problems)
	}
	return found
}

func (s Setting) flagName() string {
	if s.Flag != "" {
		return s.Flag
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.Key)
}

// take parses the text of a value into the layer, or complains.
func (l layer) take(s Setting, text, where string, problems *complaints) {
	v, err := s.parse(text)
	if err != nil {
		problems.add(where, s.Key, quote(text)+": "+err.Error())
		return
	}
	l[s.Key] = given{value: v, where: where}
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return "; did you mean " + name + "?"
}
