package configs

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestDeclarationsAreComplete(t *testing.T) {
	for _, s := range Settings() {
		if s.Doc == "" || strings.HasSuffix(s.Key, ".") {
			t.Errorf("%q has no key or no meaning", s.Key)
		}
		for _, tag := range []string{"default", "min", "max"} {
			text, given := s.tag.Lookup(tag)
			if !given {
				continue
			}
			if v, err := s.parse(text); err != nil || s.format(v) != text {
				t.Errorf("%s: %s %q is read as %v, %v", s.Key, tag, text, v, err)
			}
		}
		if name := s.tag.Get("check"); name != "" && checks[name] == nil {
			t.Errorf("%s: no check is called %q", s.Key, name)
		}
		_, hasMin := s.tag.Lookup("min")
		_, hasMax := s.tag.Lookup("max")
		isNumber := s.typ.Kind() == reflect.Int || s.typ.Kind() == reflect.Int64
		if isNumber != hasMin || isNumber != hasMax {
			t.Errorf("%s: a number needs min and max, and nothing else has them", s.Key)
		}
		if found, ok := Lookup(s.Key); !ok || found.Env != s.Env {
			t.Errorf("%s cannot be looked up", s.Key)
		}
	}
	if s, ok := Lookup("databases.eu_west.dsn"); !ok || s.Env != "SOCIALCTL_DATABASES_EU_WEST_DSN" {
		t.Errorf("a database's key: %v, %v", s, ok)
	}
	if _, ok := Lookup("http"); ok {
		t.Error("a section is no setting")
	}
}

func TestEveryVariableSetsItsKey(t *testing.T) {
	for _, s := range Settings() {
		variable := strings.Replace(s.Env, anyDatabase, "X", 1)
		got, ok := settingOfVariable(variable)
		if want := strings.Replace(s.Key, anyDatabase, "x", 1); !ok || got.Key != want {
			t.Errorf("%s sets %q, want %q", variable, got.Key, want)
		}
		if foreignVariable.MatchString(variable) {
			t.Errorf("%s counts as somebody else's", variable)
		}
	}
}

func TestSampleHasEveryKeyWithItsDefault(t *testing.T) {
	sample := string(Sample())
	loaded, err := load(Source{File: "sample"}, []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(loaded.Config, Default()) {
		t.Errorf("the sample is\n%v, the default\n%v", loaded.Config, Default())
	}
	// The commented database becomes a real one when its marks are taken away,
	// and then every key must come from the file.
	uncommented := regexp.MustCompile(`(?m)^  # (a:|  )`).ReplaceAllString(sample, "  $1")
	problems := &complaints{}
	found := parseFile("sample", []byte(uncommented), problems).found
	if err := problems.err(); err != nil {
		t.Fatal(err)
	}
	for _, s := range Settings() {
		key := strings.Replace(s.Key, anyDatabase, "a", 1)
		if found[key].where == "" {
			t.Errorf("the sample does not have %s", key)
		}
		if !strings.Contains(sample, "# "+s.Doc+"\n") {
			t.Errorf("the sample does not explain %s", key)
		}
	}
	if len(found) != len(settings) {
		t.Errorf("the sample has %d keys, want %d", len(found), len(settings))
	}
}

func TestSampleFiles(t *testing.T) {
	embedded, err := os.ReadFile("embedded.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(embedded) != string(Sample()) {
		t.Error("embedded.yaml is out of date: go run ./cmd/socialctl init --force configs/embedded.yaml")
	}
	for path, isEmbedded := range map[string]bool{"embedded.yaml": true, "cluster.yaml": false} {
		loaded, err := Load(Source{File: path})
		if err != nil {
			t.Fatal(err)
		}
		if loaded.Config.IsEmbedded() != isEmbedded {
			t.Errorf("%s: embedded is %v", path, !isEmbedded)
		}
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	c := Default()
	c.Databases = map[string]Database{
		"a": {DSN: "social:hunter2@tcp(db.example:3306)/?tls=true"},
		"b": {DSN: "social:hunter2 is not a DSN"},
	}
	c.Redis.Password = "hunter2"
	c.Media.URL = "s3://key:hunter2@bucket/x?region=eu&secret_access_key=hunter2"
	c.Archive.URL = "hunter2"
	loaded := Loaded{Config: c}

	var shown strings.Builder
	logger := slog.New(slog.NewJSONHandler(&shown, nil))
	text := slog.New(slog.NewTextHandler(&shown, nil))
	for _, v := range []any{c, &c, c.Databases, c.Databases["a"], c.Redis, c.Media, c.Archive, loaded, loaded.Entries()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			fmt.Fprintf(&shown, verb, v)
		}
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(encoded)
		logger.Info("x", "v", v)
		text.Info("x", "v", v)
	}
	if strings.Contains(shown.String(), "hunter2") {
		t.Errorf("a secret is shown in %s", shown.String())
	}
	if want := "social:xxxxx@tcp(db.example:3306)/?tls=true"; !strings.Contains(c.String(), want) {
		t.Errorf("%s does not show %s", c, want)
	}
	if want := "s3://key:xxxxx@bucket/x?region=eu&secret_access_key=xxxxx"; c.Media.String() != want {
		t.Errorf("got %s, want %s", c.Media, want)
	}
}

func FuzzMaskDSN(f *testing.F) {
	for _, password := range []string{"p", "a@b", "a/b", "tcp(", "?x=/", ")/"} {
		f.Add(password)
	}
	f.Fuzz(func(t *testing.T, password string) {
		// Whatever the password is, the part after it must be all that shows.
		const tail = "@tcp(h:1)/"
		if got := maskDSN("user:" + password + tail); got != "user:"+masked+tail && (password != "" || got != "user:"+tail) {
			t.Errorf("password %q: shown as %q", password, got)
		}
	})
}
