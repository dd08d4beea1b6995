// The form that asks for an asset.
import type { RJSFSchema } from "@rjsf/utils";
import { Sparkles, X } from "lucide-react";
import { memo, useId, useRef, useState } from "react";
import { useMutation } from "urql";

import { explain } from "./api";
import { TYPE_ICONS } from "./job_row";
import { type AssetType, CreateJobDocument, ProvidersDocument, type ProvidersQuery } from "./operations";
import { go } from "./place";
import { exampleOf, PromptForm } from "./prompt_form";
import { useAsked } from "./use_asked";
import { TYPE_NAMES, TYPES } from "./wording";
import type { World } from "./world";

type Provider = ProvidersQuery["providers"][number];

interface Props {
  world: World;
  onClose: (() => void) | null;
}

/** Remembered: the board renders with every update, and a form is much to render. */
export const CreateForm = memo(function CreateForm({ world, onClose }: Props) {
  const [type, setType] = useState<AssetType>("IMAGE");
  return (
    <section className="panel" aria-labelledby="create-title">
      <header>
        <h2 id="create-title">Make an asset</h2>
        {onClose && (
          <button type="button" className="quiet" onClick={onClose} aria-label="Close">
            <X aria-hidden />
          </button>
        )}
      </header>
      <p className="hint">
        Say what <b>{world.id}</b> needs. The job is queued, a worker makes the asset, and every step shows up here as it
        happens.
      </p>
      <div className="types" role="group" aria-label="What to make">
        {TYPES.map((each) => {
          const Icon = TYPE_ICONS[each];
          return (
            <button key={each} type="button" aria-pressed={each === type} onClick={() => setType(each)}>
              <Icon aria-hidden />
              {TYPE_NAMES[each]}
            </button>
          );
        })}
      </div>
      <ProviderChoice key={type} world={world} type={type} />
    </section>
  );
});

/** Who makes it, of those that can; what it takes follows from that. */
function ProviderChoice({ world, type }: { world: World; type: AssetType }) {
  const [chosen, setChosen] = useState("");
  const [{ data, error }] = useAsked({ query: ProvidersDocument, variables: { assetType: type } });
  const providers = data?.providers ?? [];
  const provider = providers.find(({ name }) => name === chosen) ?? providers[0];
  const id = useId();

  return (
    <>
      {error && <p className="problem">{explain(error)}</p>}
      {data && !provider && <p className="problem">No provider here makes this.</p>}
      {providers.length > 1 && (
        <div className="field">
          <label htmlFor={id}>Provider</label>
          <select id={id} value={provider?.name} onChange={({ target }) => setChosen(target.value)}>
            {providers.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </div>
      )}
      {provider && <Order key={provider.name} world={world} type={type} provider={provider} />}
    </>
  );
}

interface OrderProps {
  world: World;
  type: AssetType;
  provider: Provider;
}

/** The prompt for one provider, and what else may be said of a job. */
function Order({ world, type, provider }: OrderProps) {
  const schema = provider.promptSchema as RJSFSchema;
  const [prompt, setPrompt] = useState<unknown>(() => exampleOf(schema));
  const [model, setModel] = useState("");
  const [priority, setPriority] = useState(5);
  const [{ fetching, error }, create] = useMutation(CreateJobDocument);
  const id = useId();
  const sent = useRef({ order: "", idempotencyKey: "" });
  const takesModel = provider.models.length > 1 || provider.modelPattern !== null;
  const needsModel = provider.models.length === 0 && takesModel;

  async function submit(promptSpec: unknown) {
    const order = {
      worldId: world.id,
      assetType: type,
      provider: provider.name,
      promptSpec,
      priority,
      ...(takesModel && model && { modelId: model }),
    };
    // Sent again because no answer came, it is the same order.
    if (sent.current.order !== JSON.stringify(order)) {
      sent.current = { order: JSON.stringify(order), idempotencyKey: randomKey() };
    }
    const { data } = await create({ input: { ...order, idempotencyKey: sent.current.idempotencyKey } });
    if (!data) return;
    world.learn(data.createAssetJob.job);
    go({ job: data.createAssetJob.job.id, isCreating: false });
  }

  return (
    <>
      <p className="hint">{schema.description}</p>
      <PromptForm schema={schema} value={prompt} onChange={setPrompt} onSubmit={(value) => void submit(value)}>
        {takesModel && (
          <div className="field">
            <label htmlFor={`${id}model`}>
              Model
              {needsModel && <span className="needed"> needed</span>}
            </label>
            <input
              id={`${id}model`}
              value={model}
              list={`${id}models`}
              required={needsModel}
              placeholder={needsModel ? "" : "as the provider chooses"}
              onChange={({ target }) => setModel(target.value)}
            />
            <datalist id={`${id}models`}>
              {provider.models.map((each) => (
                <option key={each} value={each} />
              ))}
            </datalist>
          </div>
        )}
        <div className="field">
          <label htmlFor={`${id}priority`}>
            Priority <output>{priority}</output>
          </label>
          <input
            id={`${id}priority`}
            type="range"
            min={0}
            max={9}
            value={priority}
            onChange={({ target }) => setPriority(target.valueAsNumber)}
          />
        </div>
        {error && (
          <p className="problem" role="alert">
            {explain(error)}
          </p>
        )}
        <button type="submit" className="main" disabled={fetching}>
          <Sparkles aria-hidden /> Make the {TYPE_NAMES[type].toLowerCase().replace("pdf", "PDF")}
        </button>
      </PromptForm>
    </>
  );
}

/** Of 128 random bits. `crypto.randomUUID` is there only over https. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
}
