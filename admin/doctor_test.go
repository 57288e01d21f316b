package admin

import (
	"testing"
	"time"

	"socialctl/social/copies"
)

// statusOf returns what was found for one check; several make it "several".
func statusOf(e examination, check string) string {
	status := ""
	for _, f := range e.findings {
		if f.Check != check {
			continue
		}
		if status != "" {
			return "several"
		}
		status = f.Status
		if (f.Advice == "") != (f.Status == StatusOK) {
			return "advice " + f.Advice
		}
	}
	return status
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]string{
		"10.11.19-MariaDB-0+deb12u1": StatusOK,
		"11.4.2-MariaDB":             StatusOK,
		"10.6.0-MariaDB":             StatusOK,
		"10.5.9-MariaDB":             StatusProblem,
		"8.0.36":                     StatusOK,
		"8.4.0-commercial":           StatusOK,
		"5.7.44-log":                 StatusProblem,
		"unheard of":                 StatusWarn,
	} {
		var e examination
		e.version(version)
		if got := statusOf(e, "version"); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

func TestDurability(t *testing.T) {
	const flush, sync, only = "innodb_flush_log_at_trx_commit", "sync_binlog", "read_only"
	for _, c := range []struct {
		flush, sync, binlog, readOnly string
		want                          [3]string
	}{
		{"1", "0", "OFF", "OFF", [3]string{StatusOK, StatusOK, ""}},
		{"1", "1", "ON", "OFF", [3]string{StatusOK, StatusOK, ""}},
		{"1", "0", "ON", "OFF", [3]string{StatusOK, StatusProblem, ""}},
		{"2", "1000", "1", "OFF", [3]string{StatusProblem, StatusProblem, ""}},
		{"1", "1", "ON", "ON", [3]string{StatusOK, StatusOK, StatusProblem}},
	} {
		var e examination
		e.durability(map[string]string{flush: c.flush, sync: c.sync, "log_bin": c.binlog, only: c.readOnly})
		if got := [3]string{statusOf(e, flush), statusOf(e, sync), statusOf(e, only)}; got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestRoom(t *testing.T) {
	var e examination
	e.room(map[string]string{"max_connections": "100", "max_allowed_packet": "1048576"}, "a", 64)
	if statusOf(e, "max_connections") != StatusWarn || statusOf(e, "max_allowed_packet") != StatusProblem {
		t.Errorf("%+v", e.findings)
	}
}

func TestClocks(t *testing.T) {
	for _, c := range []struct {
		diff, roundTrip time.Duration
		want            string
	}{
		{0, 0, StatusOK},
		{-900 * time.Millisecond, time.Millisecond, StatusOK},
		{2 * time.Second, 4 * time.Second, StatusOK}, // it may be nothing but the way there
		{-2 * time.Second, time.Millisecond, StatusWarn},
		{time.Hour, time.Second, StatusProblem},
	} {
		var e examination
		e.clock(c.diff, c.roundTrip)
		if got := statusOf(e, "clock"); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestRedisSettings(t *testing.T) {
	well := map[string]string{"save": "", "appendonly": "no", "maxmemory": "1000", "maxmemory-policy": "allkeys-lru"}
	with := func(name, value string) map[string]string {
		changed := map[string]string{}
		for k, v := range well {
			changed[k] = v
		}
		changed[name] = value
		return changed
	}
	for _, c := range []struct {
		name                       string
		role                       string
		config                     map[string]string
		roles, persistence, memory string
	}{
		{"well", "master", well, "", StatusOK, StatusOK},
		{"saves", "master", with("save", "3600 1"), "", StatusProblem, StatusOK},
		{"appends", "master", with("appendonly", "yes"), "", StatusProblem, StatusOK},
		{"without a bound", "master", with("maxmemory", "0"), "", StatusOK, StatusWarn},
		{"refuses when full", "master", with("maxmemory-policy", "noeviction"), "", StatusOK, StatusProblem},
		{"replica", "slave", well, StatusProblem, StatusOK, StatusOK},
		{"silent", "master", nil, "", StatusWarn, ""},
	} {
		var e examination
		e.redis(copies.ServerInfo{Addr: "r:1", Role: c.role, Config: c.config})
		if statusOf(e, "role") != c.roles || statusOf(e, "persistence") != c.persistence || statusOf(e, "memory") != c.memory {
			t.Errorf("%s: %+v", c.name, e.findings)
		}
	}
}
