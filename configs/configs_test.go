package configs

import (
	"reflect"
	"testing"
)

func TestLoadWithoutSourcesIsDefault(t *testing.T) {
	loaded, err := Load(Source{})
	if err != nil {
		t.Fatal(err)
	}
	if want := Default(); !reflect.DeepEqual(loaded.Config, want) {
		t.Errorf("loaded\n%v, want\n%v", loaded.Config, want)
	}
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	t.Logf("%s", Sample())
	for _, e := range loaded.Entries() {
		t.Log(e)
	}
}
