package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestSecretIsNotPrinted prints a password in every way that code prints by accident.
func TestSecretIsNotPrinted(t *testing.T) {
	s := Secret("swordfish")
	request := struct {
		User     string
		Password Secret
		Pointer  *Secret
		Map      map[string]Secret
	}{"alice", s, &s, map[string]Secret{"p": s}}
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%T %v", "%10.3s"} {
		args := []any{s, s}[:strings.Count(verb, "%")]
		printed = append(printed, fmt.Sprintf(verb, args...), fmt.Sprintf(verb, request))
	}
	printed = append(printed, fmt.Sprint(s), fmt.Sprint(&s), s.String(), s.GoString(), fmt.Errorf("login: %v", s).Error())
	for _, v := range []any{s, &s, request, []Secret{s}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(text))
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("login", "password", s, "request", request, "group", slog.GroupValue(slog.Any("p", s)))
	}
	printed = append(printed, log.String())
	for _, text := range printed {
		for _, part := range []string{"swordfish", "wordfi", "73776f7264", "73776F7264", "115 119", "c3dvcmRmaXNo"} {
			if strings.Contains(text, part) {
				t.Errorf("the password is in %q", text)
			}
		}
	}
	if got := fmt.Sprintf("%d|%#v", s, s); got != "[redacted]|[redacted]" {
		t.Errorf("printed as %q", got)
	}
}
