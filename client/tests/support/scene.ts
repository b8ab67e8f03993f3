/** People, conversations and messages that make every screen look as it does in use. By the API, as clients do it. */

export interface Scene {
  token: string;
  group: string;
  direct: string;
}

type Json = Record<string, unknown>;

async function call<Answer = Json>(url: string, method: string, path: string, token: string | null, body?: unknown): Promise<Answer> {
  const form = body instanceof FormData;
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(token && { Authorization: `Bearer ${token}` }),
      ...(!form && body !== undefined && { 'Content-Type': 'application/json' }),
    },
    ...(body !== undefined && { body: form ? body : JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return (response.status === 204 ? {} : await response.json()) as Answer;
}

const DEMO_PASSWORD = 'alviar-demo';

export async function signedIn(url: string, username: string, password = DEMO_PASSWORD): Promise<{ token: string; id: number }> {
  const { access, user } = await call<{ access: string; user: { id: number } }>(url, 'POST', '/api/auth/login/', null, { username, password });
  return { token: access, id: user.id };
}

async function registered(url: string, username: string, first_name: string, last_name: string) {
  const password = 'a-long-first-secret';
  await call(url, 'POST', '/api/auth/register/', null, { username, email: `${username}@example.com`, password, password_confirm: password });
  const person = await signedIn(url, username, password);
  await call(url, 'PATCH', '/api/users/me/', person.token, { first_name, last_name });
  return person;
}

export async function send(url: string, token: string, conversation: string, content: string, extra: Json = {}): Promise<{ uuid: string; seq: number }> {
  return call(url, 'POST', `/api/chat/conversations/${conversation}/messages/`, token, { content, client_msg_id: crypto.randomUUID(), ...extra });
}

async function upload(url: string, token: string, bytes: Uint8Array, name: string, type: string): Promise<string> {
  const form = new FormData();
  form.append('file', new File([bytes as never], name, { type }));
  return (await call<{ uuid: string }>(url, 'POST', '/api/chat/attachments/', token, form)).uuid;
}

/** A second of a tone that swells, as 16-bit PCM. */
function tone(seconds: number): Uint8Array {
  const rate = 8_000;
  const samples = rate * seconds;
  const bytes = Buffer.alloc(44 + samples * 2);
  bytes.write('RIFF', 0);
  bytes.writeUInt32LE(36 + samples * 2, 4);
  bytes.write('WAVEfmt ', 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(rate, 24);
  bytes.writeUInt32LE(rate * 2, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write('data', 36);
  bytes.writeUInt32LE(samples * 2, 40);
  for (let i = 0; i < samples; i++) {
    const swell = Math.abs(Math.sin(i / 2_300)) * Math.abs(Math.cos(i / 900));
    bytes.writeInt16LE(Math.round(Math.sin(i / 4) * 26_000 * swell), 44 + i * 2);
  }
  return bytes;
}

/** `pictures`: PNGs to send. Alice is the one who looks. */
export async function makeScene(url: string, pictures: Uint8Array[]): Promise<Scene> {
  const [alice, bob, charlie] = await Promise.all(['alice', 'bob', 'charlie'].map((name) => signedIn(url, name)));
  const yasmine = await registered(url, 'yasmine', 'Yasmine', 'Benali');
  const karim = await registered(url, 'karim.dz', 'كريم', 'بوزيد');
  const long = await registered(url, 'maximilien', 'Maximilien-Alexandre', 'de la Rochefoucauld-Montbazon');
  const group = (
    await call<{ uuid: string }>(url, 'POST', '/api/chat/conversations/', alice!.token, {
      kind: 'group',
      title: 'Week-end à Tipaza 🏖️',
      user_ids: [bob!.id, charlie!.id, yasmine.id, karim.id],
    })
  ).uuid;
  const direct = async (from: { token: string }, to: { id: number }) =>
    (await call<{ uuid: string }>(url, 'POST', '/api/chat/conversations/', from.token, { kind: 'direct', user_id: to.id })).uuid;

  const withLong = await direct(long, alice!);
  await send(url, long.token, withLong, 'Chère Alice, je me permets de vous écrire au sujet du dossier dont nous avons parlé la semaine dernière.');
  const withYasmine = await direct(alice!, yasmine);
  await send(url, yasmine.token, withYasmine, 'Tu as vu les photos ?');
  await send(url, alice!.token, withYasmine, 'Oui, superbes !');
  await call(url, 'PATCH', `/api/chat/conversations/${withYasmine}/settings/`, alice!.token, { pinned: true });
  const withKarim = await direct(alice!, karim);
  await send(url, karim.token, withKarim, 'السلام عليكم، هل نلتقي غدًا؟');
  await call(url, 'PATCH', `/api/chat/conversations/${withKarim}/settings/`, alice!.token, { muted_until: '9999-01-01T00:00:00Z' });

  const first = await send(url, bob!.token, group, 'On part samedi matin ?');
  await send(url, bob!.token, group, 'Je peux prendre la voiture, il reste trois places.');
  await send(url, yasmine.token, group, 'Parfait pour moi 🙌 Il faut réserver : https://example.com/tipaza?nuits=2');
  await send(url, alice!.token, group, 'Oui, à 8 h devant la gare. Je m’occupe du petit déjeuner.', { reply_to: first.uuid });
  await call(url, 'PUT', `/api/chat/messages/${first.uuid}/reactions/${encodeURIComponent('👍')}/`, alice!.token, {});
  await call(url, 'PUT', `/api/chat/messages/${first.uuid}/reactions/${encodeURIComponent('👍')}/`, yasmine.token, {});
  await call(url, 'PUT', `/api/chat/messages/${first.uuid}/reactions/${encodeURIComponent('❤️')}/`, charlie!.token, {});
  await send(url, karim.token, group, 'أنا معكم، سأحضر القهوة والتمر.');
  await send(url, charlie!.token, group, '🎉');
  for (const [index, picture] of pictures.entries()) {
    const uuid = await upload(url, bob!.token, picture, `tipaza-${index + 1}.png`, 'image/png');
    await send(url, bob!.token, group, index === 0 ? 'La plage, l’an dernier' : '', { attachments: [uuid] });
  }
  await send(url, alice!.token, group, '', { attachments: [await upload(url, alice!.token, tone(7), 'voice.wav', 'audio/wav')] });
  const list = await upload(url, charlie!.token, Buffer.from('Crème solaire, chapeaux, eau.'), 'À emporter.txt', 'text/plain');
  await send(url, charlie!.token, group, 'La liste :', { attachments: [list] });

  const withBob = await direct(alice!, bob!);
  await send(url, alice!.token, withBob, 'Salut Bob, tout est prêt ?');
  for (const text of ['Presque.', 'Il me manque les clés de la voiture, je passe les prendre ce soir.', 'Tu viens avec @alice ? Ah oui, c’est toi 😄']) {
    await send(url, bob!.token, withBob, text);
  }
  return { token: alice!.token, group, direct: withBob };
}
