package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/aha-go/aha/model/checkpoint"
)

// Role is the purpose of a special token, as named in tokenizer_config.json.
type Role string

const (
	BOS     Role = "bos"
	EOS     Role = "eos"
	Unknown Role = "unk"
	Pad     Role = "pad"
)

// ConfigName is the name of the file, in the folder of tokenizer.json, that gives the
// tokens of roles.
const ConfigName = "tokenizer_config.json"

// Role returns the token of a role. [Load] reads roles from tokenizer_config.json or a GGUF
// file.
func (t *Tokenizer) Role(r Role) (id int32, ok bool) {
	id, ok = t.roles[r]
	return id, ok
}

// setRoles sets the tokens of roles to the ids in a file. Ids without a token are left out.
func (t *Tokenizer) setRoles(roles map[Role]int32) error {
	t.roles = map[Role]int32{}
	for _, r := range slices.Sorted(maps.Keys(roles)) {
		id := roles[r]
		if id < 0 || int(id) >= len(t.texts) {
			return fmt.Errorf("%s token: id %d, want 0 to %d", r, id, len(t.texts)-1)
		}
		if t.kinds[id] != 0 {
			t.roles[r] = id
		}
	}
	return nil
}

// config holds the keys of tokenizer_config.json that a Tokenizer uses.
type config struct {
	BOS     roleToken `json:"bos_token"`
	EOS     roleToken `json:"eos_token"`
	Unknown roleToken `json:"unk_token"`
	Pad     roleToken `json:"pad_token"`
}

// roleToken is the text of a token, or an object with that text as content.
type roleToken string

func (r *roleToken) UnmarshalJSON(text []byte) error {
	var object struct {
		Content string `json:"content"`
	}
	if json.Unmarshal(text, (*string)(r)) == nil {
		return nil
	}
	err := json.Unmarshal(text, &object)
	*r = roleToken(object.Content)
	return err
}

// readConfig reads the roles in tokenizer_config.json in dir, if it exists. A role whose
// token the tokenizer lacks is left out.
func (t *Tokenizer) readConfig(dir string) error {
	text, err := checkpoint.ReadFile(dir, ConfigName, checkpoint.OpenOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("tokenizer: %w", err)
	}
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("tokenizer: %s: %w", filepath.Join(dir, ConfigName), err)
	}
	roles := map[Role]int32{}
	for role, token := range map[Role]roleToken{BOS: c.BOS, EOS: c.EOS, Unknown: c.Unknown, Pad: c.Pad} {
		if id, ok := t.ID(string(token)); ok && token != "" {
			roles[role] = id
		}
	}
	return t.setRoles(roles)
}
