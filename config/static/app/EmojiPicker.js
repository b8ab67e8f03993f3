import{c as e,ct as t,z as n}from"./shared.js";import{n as r,r as i}from"./recentEmoji.js";import{m as a,p as o}from"./messages.js";var s=`
smileys
😀 smile happy sourire content ابتسامة سعيد
😂 laugh tears rire larmes ضحك
🤣 rolling laugh rire ضحك
😊 blush happy sourire joie ابتسامة
😉 wink clin غمزة
😍 love eyes amour حب
🥰 love hearts amour coeurs حب
😘 kiss bisou قبلة
😋 yummy miam لذيذ
😎 cool sunglasses lunettes نظارات
🤩 star wow étoile مذهل
🥳 party birthday fête anniversaire حفلة
🙂 smile sourire ابتسامة
🙃 upside envers مقلوب
😇 angel ange ملاك
🤔 think hmm penser تفكير
🤨 doubt doute شك
😐 neutral neutre محايد
😏 smirk narquois ساخر
🙄 eyes roll yeux ملل
😬 grimace gêne تكشير
😌 relief calme راحة
😴 sleep dormir نوم
🤒 sick malade مريض
🤯 mind blown explosion انفجار
😢 sad cry triste pleurer حزين بكاء
😭 cry sob pleurer بكاء
😡 angry colère غضب
😱 scream fear peur cri خوف
😮 wow surprise ouah دهشة
😳 embarrassed gêné خجل
🥺 please pleading supplier رجاء
😅 sweat sueur عرق
😔 sad pensive triste حزين
😤 proud huff fier فخر
🤗 hug câlin عناق
🤝 deal handshake accord اتفاق
people
👍 yes thumb ok oui pouce نعم موافق
👎 no thumb non pouce لا
👌 ok perfect parfait ممتاز
✌️ peace paix سلام
🤞 luck chance حظ
👏 clap bravo applaudir تصفيق
🙌 hooray hourra مرحى
🙏 thanks please merci prière شكرا دعاء
💪 strong fort قوة
👋 hello bye bonjour salut مرحبا
✋ stop hand main يد
🤙 call appelle اتصال
👀 look eyes yeux regarder عيون
🧠 brain cerveau عقل
🙋 me raise moi أنا
🤷 shrug whatever bof لا أدري
🤦 facepalm honte خيبة
👶 baby bébé طفل
👨‍👩‍👧 family famille عائلة
🏃 run courir جري
💃 dance danse رقص
hearts
❤️ love heart coeur amour قلب حب
🧡 heart orange coeur قلب
💛 heart yellow coeur قلب
💚 heart green coeur قلب
💙 heart blue coeur قلب
💜 heart purple coeur قلب
🖤 heart black coeur قلب
💔 broken heart brisé مكسور
💕 hearts coeurs قلوب
💯 hundred cent مئة
✨ sparkles étincelles بريق
🔥 fire feu نار
⭐ star étoile نجمة
💥 boom explosion انفجار
💤 sleep dodo نوم
nature
🐶 dog chien كلب
🐱 cat chat قطة
🦁 lion أسد
🐫 camel chameau جمل
🐝 bee abeille نحلة
🦋 butterfly papillon فراشة
🌹 rose flower fleur وردة
🌻 sunflower tournesol زهرة
🌳 tree arbre شجرة
🌴 palm palmier نخلة
☀️ sun soleil شمس
🌙 moon lune قمر
🌧️ rain pluie مطر
❄️ snow neige ثلج
🌈 rainbow arc قوس
🌍 world earth monde terre عالم
food
☕ coffee café قهوة
🍵 tea thé شاي
🍕 pizza بيتزا
🍔 burger برغر
🍞 bread pain خبز
🥐 croissant كرواسون
🍎 apple pomme تفاح
🍌 banana banane موز
🍓 strawberry fraise فراولة
🍰 cake gâteau كعكة
🎂 birthday cake anniversaire عيد ميلاد
🍫 chocolate chocolat شوكولاتة
🍽️ meal eat repas manger طعام
🥂 cheers santé نخب
activities
🎉 party tada fête bravo احتفال
🎁 gift cadeau هدية
🎈 balloon ballon بالون
⚽ football foot كرة
🏆 trophy win trophée gagné كأس فوز
🎮 game jeu لعبة
🎵 music musique موسيقى
🎸 guitar guitare غيتار
📷 photo camera صورة
🎬 film movie cinéma فيلم
📚 books read livres lire كتب
✈️ plane travel avion voyage طائرة سفر
🚗 car voiture سيارة
🚆 train قطار
🚲 bike vélo دراجة
🏠 home house maison بيت
🏖️ beach plage شاطئ
⛰️ mountain montagne جبل
objects
📱 phone téléphone هاتف
💻 computer ordinateur حاسوب
📅 date calendar calendrier تاريخ
📌 pin épingle دبوس
📎 paperclip trombone مشبك
📝 note write écrire كتابة
💡 idea idée فكرة
🔑 key clé مفتاح
🔒 lock cadenas قفل
⏰ alarm time réveil heure وقت
💰 money argent مال
🛒 shop courses تسوق
🩺 doctor médecin طبيب
🚀 rocket fusée صاروخ
✅ done yes fait تم
❌ no cross non croix لا خطأ
❓ question سؤال
❗ important attention انتباه
⚠️ warning attention تحذير
♻️ recycle recycler تدوير
➕ plus add ajouter زائد
`,c=l();function l(){let e=[];for(let t of s.trim().split(`
`)){let[n,...r]=t.split(` `);r.length===0?e.push({name:n,emoji:[]}):e[e.length-1].emoji.push({emoji:n,words:u(r.join(` `))})}return e}function u(e){return e.toLowerCase().normalize(`NFD`).replace(/\p{M}/gu,``)}function d(e){let t=u(e.trim());return c.flatMap(({emoji:e})=>e).filter(({words:e})=>e.split(` `).some(e=>e.startsWith(t)))}function f(s){let{t:l}=e(),[u,f]=t(``),[p]=t(r),m=e=>{i(e),s.onPick(e)},h=u.trim()?[[l(`emoji`),d(u).map(({emoji:e})=>e)]]:[...p.length>0?[[l(`emoji_recent`),p]]:[],...c.map(({name:e,emoji:t})=>[l(`emoji_${e}`),t.map(e=>e.emoji)])];return n(o,{anchor:s.anchor,role:`dialog`,label:l(`emoji`),className:`emoji-picker`,onClose:s.onClose,children:[n(`input`,{type:`search`,"data-first":!0,dir:`auto`,"aria-label":l(`findEmoji`),placeholder:l(`findEmoji`),value:u,onInput:e=>f(e.currentTarget.value),onKeyDown:e=>{let t=e.currentTarget.parentElement.querySelector(`.emoji-grid button`);if(e.key===`Enter`)t?.click();else if(e.key===`ArrowDown`)t?.focus();else return;e.preventDefault()}}),n(`div`,{className:`emoji-groups`,tabIndex:-1,onKeyDown:a,children:h.map(([e,t])=>n(`section`,{"aria-label":e,children:[n(`h2`,{children:e}),t.length===0&&n(`p`,{className:`hint`,role:`status`,children:l(`nothingFound`)}),n(`div`,{className:`emoji-grid`,children:t.map((e,t)=>n(`button`,{type:`button`,tabIndex:t===0?0:-1,onClick:()=>m(e),children:e},e))})]},e))})]})}export{f as EmojiPicker};