package judge_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/reward/judge"
)

func ExampleJudge() {
	// This server always gives the same answer, instead of running a model.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"choices": [{"message": {"content": "{\"reason\": \"wrong river\", \"score\": 0.25}"}}]}`)
	}))
	defer server.Close()

	j := &judge.Judge{URL: server.URL + "/v1", Model: "DeepSeek-V3", Greedy: true}
	suite := &reward.Suite{
		Funcs:   []reward.Func{{Name: "judge", ScoreAll: j.ScoreAll}},
		Timeout: 10 * time.Minute,
	}
	scores, err := suite.Score(context.Background(), []reward.Sample{{
		Prompt:     "Where does London lie?",
		Completion: "In England, on the Tyne.",
		Answer:     "In England, on the Thames.",
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	v := scores.Verdicts[0][0]
	fmt.Println(v.Value, v.Status, v.Err)
	// Output: 0.25 wrong judge: score 0.25, want 1: wrong river
}
