-- Exact token counts of LLM answers, streamed or not, without ai-proxy.
--
-- Body filter for Kong's bundled post-function plugin. It watches an answer go by, keeps a bounded part of it, reads the
-- provider's own usage object (OpenAI chat and responses, Anthropic, Gemini, Mistral, Cohere, Bedrock Converse) and
-- publishes it as `tollkeeper.llm` in Kong's log, from where the Tollkeeper plugin takes it into the usage record. The
-- chunks themselves pass untouched and at once.
--
-- A client that goes away ends the filter without notice. So the published table is there from the first event on and
-- is kept up to date in place: until the provider's own final count arrives, it holds an estimate, marked as such.
-- What each kind of cut bills: docs/llm-tokens.md.
--
-- It needs nothing that Kong's sandbox for serverless functions forbids: no require, no table.concat, no globals.

local find, match, sub, gmatch = string.find, string.match, string.sub, string.gmatch
local ceil, max = math.ceil, math.max

local HEAD = 4096           -- bytes kept of the beginning of a JSON answer: the model, and usage where it comes first
local TAIL = 16384          -- bytes kept of the end of a JSON answer, and of a line of a stream
local LONGEST_NAME = 256
local MOST_PROMPT_BYTES = 262144  -- above this a request is no plain text (images, files): no guess of its tokens
local BYTES_PER_TOKEN = 4         -- the usual rule of thumb, for estimates only

-- Where the text of an event stands; the first that fits is counted.
local TEXTS = {
  '"content"%s*:%s*"([^"]*)', '"text"%s*:%s*"([^"]*)', '"delta"%s*:%s*"([^"]*)', '"reasoning_content"%s*:%s*"([^"]*)',
  '"thinking"%s*:%s*"([^"]*)', '"arguments"%s*:%s*"([^"]*)', '"partial_json"%s*:%s*"([^"]*)',
}

local COUNTS = {
  "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
  "total_tokens", "totalTokenCount",
  "cache_read_input_tokens", "cache_creation_input_tokens", "prompt_cache_hit_tokens",
  "inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens",
  "promptTokenCount", "candidatesTokenCount", "cachedContentTokenCount", "thoughtsTokenCount",
  "toolUsePromptTokenCount",
}

-- The last object of that name in the text. Inside a JSON string the quotes would be escaped, so what a model writes
-- cannot look like one; and providers write usage after what the model wrote.
local function last_object(text, name)
  local found
  for object in gmatch(text, '"' .. name .. '"%s*:%s*(%b{})') do
    found = object
  end
  return found
end

local function collect(text, counts)
  local object = last_object(text, "usage") or last_object(text, "usageMetadata") or last_object(text, "meta")
  if not object then
    return false
  end
  local billed = match(object, '"billed_units"%s*:%s*(%b{})')
  if billed then
    counts.format = "cohere"
    object = billed .. (match(object, '"cached_tokens"%s*:%s*%d+') or "")
  end
  local any = false
  for _, name in ipairs(COUNTS) do
    local digits = match(object, '"' .. name .. '"%s*:%s*(%d+)')
    if digits and #digits <= 12 then
      counts[name] = tonumber(digits)
      any = true
    end
  end
  if not counts.format and find(object, '"output_tokens"', 1, true) and not find(object, '"total_tokens"', 1, true) then
    counts.format = "anthropic"  -- OpenAI's responses have the same names, and a total
  elseif counts.inputTokens then
    counts.format = "bedrock"
  elseif counts.promptTokenCount then
    counts.format = "gemini"
  end
  return any
end

-- input includes what the cache gave, output includes reasoning, whatever the provider's own convention.
local function fill(out, counts)
  local cached, input, output, reasoning
  if counts.format == "anthropic" then
    cached = counts.cache_read_input_tokens or 0
    input = counts.input_tokens and counts.input_tokens + cached + (counts.cache_creation_input_tokens or 0)
    output = counts.output_tokens
  elseif counts.format == "bedrock" then
    cached = counts.cacheReadInputTokens or 0
    input = counts.inputTokens + cached + (counts.cacheWriteInputTokens or 0)
    output = counts.outputTokens
  elseif counts.format == "gemini" then
    cached, reasoning = counts.cachedContentTokenCount, counts.thoughtsTokenCount or 0
    input = counts.promptTokenCount + (counts.toolUsePromptTokenCount or 0)
    output = counts.candidatesTokenCount or 0
    if counts.totalTokenCount ~= input + output then  -- some count the thoughts in already
      output = output + reasoning
    end
  else
    cached = counts.cached_tokens or counts.prompt_cache_hit_tokens
    reasoning = counts.reasoning_tokens
    input = counts.prompt_tokens or counts.input_tokens
    output = counts.completion_tokens or counts.output_tokens or (input and 0)  -- embeddings write nothing
    -- Some who speak OpenAI's format leave cached or reasoning tokens out; their total gives it away.
    if input and cached and cached > 0 and (cached > input or counts.total_tokens == input + cached + output) then
      input = input + cached
    end
    if input and reasoning and reasoning > 0
      and (reasoning > output or counts.total_tokens == input + output + reasoning) then
      output = output + reasoning
    end
  end
  out.provider = counts.format
  out.input_tokens = input or out.input_tokens
  out.cached_tokens, out.reasoning_tokens = cached or 0, reasoning or 0
  return output
end

local function remember_model(state, text)
  if not state.out.model then
    local name = match(text, '"model"%s*:%s*"([^"\\]+)"') or match(text, '"modelVersion"%s*:%s*"([^"\\]+)"')
    if name then
      state.out.model = sub(name, 1, LONGEST_NAME)
    end
  end
end

local function publish(state)
  if not state.published then
    state.published = true
    kong.log.set_serialize_value("tollkeeper.llm", state.out)
  end
end

local function estimate_input()
  local length = tonumber(kong.request.get_header("content-length") or "")
  if length and length <= MOST_PROMPT_BYTES then
    return ceil(length / BYTES_PER_TOKEN)
  end
end

local function start()
  local kind = kong.response.get_header("content-type") or ""
  local encoding = kong.response.get_header("content-encoding") or "identity"
  local state = { head = "", tail = "", counts = {}, written = 0, out = { stream = false, estimated = false } }
  if encoding ~= "identity" then
    return { skip = true }
  elseif find(kind, "text/event-stream", 1, true) then
    state.lines = true
    state.out.stream, state.out.estimated = true, true
  elseif find(kind, "vnd.amazon.eventstream", 1, true) then
    state.out.stream = true
  elseif not find(kind, "json", 1, true) then
    return { skip = true }
  end
  return state
end

-- One complete line of a stream.
local function read_event(state, line)
  if sub(line, 1, 5) ~= "data:" and sub(line, 1, 1) ~= "{" then
    return
  end
  local out, counts = state.out, state.counts
  remember_model(state, line)
  local told = find(line, '"usage%a*"%s*:%s*{') or find(line, '"billed_units"', 1, true)  -- most events say "usage":null
  local known = told and collect(line, counts)
  if state.final and not known then
    return
  end
  if not known then
    for _, pattern in ipairs(TEXTS) do
      local text = match(line, pattern)
      if text and text ~= "" then
        state.written = state.written + max(1, ceil(#text / BYTES_PER_TOKEN))
        break
      end
    end
  end
  local output = (known or counts.format) and fill(out, counts)
  if counts.format == "anthropic" then  -- the first event counts one token, the last but one all of them
    state.final = state.final or find(line, '"message_stop"', 1, true) ~= nil
  elseif counts.format == "gemini" then  -- each event counts up to itself
    state.final = known and find(line, '"finishReason"', 1, true) ~= nil or state.final
  else
    state.final = known or state.final
  end
  out.output_tokens = state.final and output or max(output or 0, state.written)
  out.estimated = not state.final
  if not out.input_tokens then
    out.input_tokens = estimate_input()
  end
  if out.model or known then
    publish(state)
  end
end

local function read_lines(state, chunk, last)
  local text = state.tail .. chunk
  local from = 1
  while true do
    local at = find(text, "\n", from, true)
    if not at then
      break
    end
    read_event(state, sub(text, from, at - 1))
    from = at + 1
  end
  local rest = sub(text, from)
  if #rest > TAIL then  -- usage stands at the end of a long line; its beginning says that it is one
    remember_model(state, rest)
    rest = "data:" .. sub(rest, -TAIL + 5)
  end
  if last and rest ~= "" then
    read_event(state, rest)
    rest = ""
  end
  state.tail = rest
end

local function read_whole(state, chunk, last)
  if #state.head < HEAD then
    state.head = state.head .. sub(chunk, 1, HEAD - #state.head)
  end
  state.tail = sub(state.tail .. sub(chunk, -TAIL), -TAIL)
  if last or state.out.stream then
    if collect(state.tail, state.counts) or collect(state.head, state.counts) then
      remember_model(state, state.head)
      remember_model(state, state.tail)
      state.out.output_tokens = fill(state.out, state.counts)
      publish(state)
    end
  end
end

local function watch()
  local ctx = kong.ctx.plugin
  local state = ctx.tollkeeper_llm
  if not state then
    state = start()
    ctx.tollkeeper_llm = state
  end
  if state.skip then
    return
  end
  local chunk, last = ngx.arg[1] or "", ngx.arg[2]
  if state.lines then
    read_lines(state, chunk, last)
  else
    read_whole(state, chunk, last)
  end
  if last and state.published then
    kong.log.set_serialize_value("tollkeeper.llm", state.out)
  end
end

return function()
  -- A mistake here must never break the client's answer.
  local fine, message = pcall(watch)
  if not fine then
    kong.ctx.plugin.tollkeeper_llm = { skip = true }
    kong.log.err("llm_usage: ", message)
  end
end
